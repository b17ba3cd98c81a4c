package io.ublkbridge.s3;

import com.github.luben.zstd.ZstdCompressCtx;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;

/// Makes compressed images in zstd's seekable format.
public final class SeekableZstd {
  /// A frame as the table has it.
  private record Entry(int compressedBytes, int lengthBytes, int checksum) {}

  private final ByteArrayOutputStream object = new ByteArrayOutputStream();
  private final List<Entry> entries = new ArrayList<>();
  private final boolean checksums;

  /// @param checksums whether the table has them
  SeekableZstd(boolean checksums) {
    this.checksums = checksums;
  }

  /// Bytes that cannot be compressed.
  static byte[] noise(int lengthBytes, long seed) {
    byte[] bytes = new byte[lengthBytes];
    new SplittableRandom(seed).nextBytes(bytes);
    return bytes;
  }

  /// An image in frames of one length.
  public static byte[] of(byte[] image, int frameBytes, boolean checksums) {
    SeekableZstd zstd = new SeekableZstd(checksums);
    for (int at = 0; at < image.length; at += frameBytes) {
      zstd.frame(Arrays.copyOfRange(image, at, Math.min(image.length, at + frameBytes)));
    }
    return zstd.finish();
  }

  /// One frame, whose own checksum zstd appends: the lower half of its XXH64.
  static byte[] compress(byte[] bytes) {
    try (ZstdCompressCtx context = new ZstdCompressCtx().setLevel(1).setChecksum(true)) {
      return context.compress(bytes);
    }
  }

  SeekableZstd frame(byte[] bytes) {
    byte[] frame = compress(bytes);
    return add(frame, bytes.length, little(frame, frame.length - Integer.BYTES).getInt());
  }

  /// Some bytes that are skipped.
  SeekableZstd skippable(int lengthBytes) {
    byte[] frame = new byte[8 + lengthBytes];
    little(frame, 0).putInt(0x184D2A50).putInt(lengthBytes);
    return add(frame, 0, 0x51D8E999);
  }

  /// Whatever is said to be a frame.
  SeekableZstd add(byte[] frame, int lengthBytes, int checksum) {
    object.writeBytes(frame);
    entries.add(new Entry(frame.length, lengthBytes, checksum));
    return this;
  }

  byte[] finish() {
    int tableBytes = entries.size() * (checksums ? 12 : 8) + 9;
    byte[] bytes = new byte[8 + tableBytes];
    ByteBuffer table = little(bytes, 0).putInt(0x184D2A5E).putInt(tableBytes);
    for (Entry entry : entries) {
      table.putInt(entry.compressedBytes()).putInt(entry.lengthBytes());
      if (checksums) {
        table.putInt(entry.checksum());
      }
    }
    table.putInt(entries.size()).put((byte) (checksums ? 0x80 : 0)).putInt(0x8F92EAB1);
    object.writeBytes(bytes);
    return object.toByteArray();
  }

  private static ByteBuffer little(byte[] bytes, int from) {
    return ByteBuffer.wrap(bytes, from, bytes.length - from).order(ByteOrder.LITTLE_ENDIAN);
  }
}
