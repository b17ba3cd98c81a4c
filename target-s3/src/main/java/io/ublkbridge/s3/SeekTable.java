package io.ublkbridge.s3;

import io.ublkbridge.s3.StoreException.Kind;
import io.ublkbridge.target.ByteSize;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import org.jspecify.annotations.Nullable;

/// Where the frames of a compressed image are, and what of the image each holds: the seek table of
/// zstd's seekable format (`contrib/seekable_format` in zstd's sources, version 0.1.0).
///
/// The frames follow one another from the object's start. Behind the last is the table, itself a
/// frame that others skip; everything in it is little-endian:
///
/// ```
///  4  0x184D2A5E
///  4  length of all that follows
///  8  for each frame: compressed length, 4; length in the image, 4 (0: holds nothing of it)
///     or 12: and the lower half of the XXH64 of its bytes in the image
///  4  number of frames          ┐
///  1  bit 7: with checksums     │ footer: the object's last 9 bytes
///  4  0x8F92EAB1                ┘
/// ```
///
/// Immutable: any thread may call.
final class SeekTable {
  static final int FOOTER_BYTES = 9;

  /// Longer frames would take too much memory and time for what is asked of them.
  static final int FRAME_BYTES_MAX = 16 << 20;

  /// A table of 48 MiB; frames of 1 MiB then make up 4 TiB.
  static final int FRAMES_MAX = 4 << 20;

  private static final int MAGIC = 0x8F92EAB1;
  private static final int SKIPPABLE_MAGIC = 0x184D2A5E;
  private static final int SKIPPABLE_HEADER_BYTES = 8;
  private static final int CHECKSUMS = 0x80;
  private static final int RESERVED = 0x7C;

  /// What incompressible bytes may grow by, generously.
  private static final long COMPRESSED_BYTES_MAX = FRAME_BYTES_MAX + (FRAME_BYTES_MAX >> 3);

  private static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG;

  /// The end of the table, which says how long it is.
  ///
  /// @param frames how many
  /// @param checksums whether each has one
  record Footer(int frames, boolean checksums) {
    private int entryBytes() {
      return checksums ? 12 : 8;
    }

    private long entriesBytes() {
      return (long) frames * entryBytes();
    }

    /// How long the whole table is, with its header and footer.
    long tableBytes() {
      return SKIPPABLE_HEADER_BYTES + entriesBytes() + FOOTER_BYTES;
    }

    /// Reads a footer.
    ///
    /// @param bytes the object's last [#FOOTER_BYTES]
    /// @param objectBytes how long the object is
    /// @throws StoreException if there is none, or it cannot be right
    static Footer of(MemorySegment bytes, long objectBytes) throws StoreException {
      if (bytes.get(INT, 5) != MAGIC) {
        throw new StoreException(
            Kind.UNREADABLE,
            "the image is compressed with zstd, but not in its seekable format: no part of it can be"
                + " read alone",
            "zstd -dc disk.img.zst | aws s3 cp - s3://BUCKET/disk.img; docs/s3.md says how to make it"
                + " seekable",
            null);
      }
      int descriptor = bytes.get(ValueLayout.JAVA_BYTE, 4);
      if ((descriptor & RESERVED) != 0) {
        throw new StoreException(
            Kind.UNREADABLE, "the image's seek table is of a newer kind", null, null);
      }
      long frames = Integer.toUnsignedLong(bytes.get(INT, 0));
      if (frames > FRAMES_MAX) {
        throw new StoreException(
            Kind.UNREADABLE,
            "the compressed image has more frames than the most that can be served: " + frames,
            "compress it in frames of 1M, as docs/s3.md says",
            null);
      }
      Footer footer = new Footer((int) frames, (descriptor & CHECKSUMS) != 0);
      if (footer.tableBytes() > objectBytes) {
        throw damaged("it would be longer than the object");
      }
      return footer;
    }
  }

  private final int frames;
  private final int frameBytesMax;

  /// Where each frame begins in the object, and in the image; one more for the end.
  private final MemorySegment compressedStarts;

  private final MemorySegment starts;
  private final @Nullable MemorySegment checksums;

  private SeekTable(Footer footer, MemorySegment table, long objectBytes) throws StoreException {
    this.frames = footer.frames();
    // Freed when nobody knows the table any more.
    Arena arena = Arena.ofAuto();
    compressedStarts = arena.allocate(LONG, frames + 1L);
    starts = arena.allocate(LONG, frames + 1L);
    checksums = footer.checksums() ? arena.allocate(INT, frames) : null;
    long compressedEnd = 0;
    long end = 0;
    long longest = 0;
    for (int i = 0; i < frames; i++) {
      long entry = SKIPPABLE_HEADER_BYTES + (long) i * footer.entryBytes();
      long compressed = Integer.toUnsignedLong(table.get(INT, entry));
      long length = Integer.toUnsignedLong(table.get(INT, entry + 4));
      check(i, compressed, length);
      compressedStarts.setAtIndex(LONG, i, compressedEnd);
      starts.setAtIndex(LONG, i, end);
      if (checksums != null) {
        checksums.setAtIndex(INT, i, table.get(INT, entry + 8));
      }
      compressedEnd += compressed;
      end += length;
      longest = Math.max(longest, length);
    }
    compressedStarts.setAtIndex(LONG, frames, compressedEnd);
    starts.setAtIndex(LONG, frames, end);
    frameBytesMax = (int) longest;
    if (compressedEnd != objectBytes - footer.tableBytes()) {
      throw damaged(
          "its frames have %d bytes, the object has %d before it"
              .formatted(compressedEnd, objectBytes - footer.tableBytes()));
    }
    if (end == 0) {
      throw new StoreException(Kind.UNREADABLE, "the compressed image is empty", null, null);
    }
  }

  private static void check(int frame, long compressed, long length) throws StoreException {
    if (length > FRAME_BYTES_MAX) {
      throw new StoreException(
          Kind.UNREADABLE,
          "the compressed image has frames of "
              + ByteSize.format(length)
              + "; the longest that can be served have "
              + ByteSize.format(FRAME_BYTES_MAX),
          "compress it in frames of 1M, as docs/s3.md says",
          null);
    }
    if (compressed == 0 || compressed > COMPRESSED_BYTES_MAX) {
      throw damaged("frame %d would hold %d bytes in %d".formatted(frame, length, compressed));
    }
  }

  /// Reads a table.
  ///
  /// @param table all of it, with its header and footer
  /// @param objectBytes how long the object is
  /// @throws StoreException if it does not fit the object, or cannot be served
  static SeekTable of(MemorySegment table, long objectBytes) throws StoreException {
    Footer footer =
        Footer.of(table.asSlice(table.byteSize() - FOOTER_BYTES, FOOTER_BYTES), objectBytes);
    if (footer.tableBytes() != table.byteSize()) {
      throw damaged("it has another length");
    }
    if (table.get(INT, 0) != SKIPPABLE_MAGIC
        || table.get(INT, 4) != (int) (table.byteSize() - SKIPPABLE_HEADER_BYTES)) {
      throw damaged("it does not begin where its end says");
    }
    return new SeekTable(footer, table, objectBytes);
  }

  private static StoreException damaged(String how) {
    return new StoreException(
        Kind.UNREADABLE,
        "the seek table of the compressed image is damaged: " + how,
        "zstd -t disk.img.zst tells whether the rest is whole; upload it again",
        null);
  }

  int frameCount() {
    return frames;
  }

  /// How long the longest frame is in the image.
  int frameBytesMax() {
    return frameBytesMax;
  }

  /// How long the image is.
  long imageBytes() {
    return start(frames);
  }

  /// The frame that holds a byte of the image.
  ///
  /// @param offsetBytes less than [#imageBytes]
  int frameOf(long offsetBytes) {
    int low = 0;
    int high = frames - 1;
    // The last that begins there or before: frames that hold nothing begin where the next does.
    while (low < high) {
      int middle = (low + high + 1) >>> 1;
      if (start(middle) <= offsetBytes) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    return low;
  }

  /// Where a frame begins in the image; that of the frame behind the last is the image's end.
  long start(int frame) {
    return starts.getAtIndex(LONG, frame);
  }

  /// How much of the image a frame holds.
  int length(int frame) {
    return (int) (start(frame + 1) - start(frame));
  }

  /// Where a frame begins in the object.
  long compressedStart(int frame) {
    return compressedStarts.getAtIndex(LONG, frame);
  }

  /// How long a frame is in the object.
  long compressedLength(int frame) {
    return compressedStart(frame + 1) - compressedStart(frame);
  }

  /// Whether bytes are those that a frame held when the table was made, as far as the table tells.
  ///
  /// @param bytes off the heap
  boolean matches(int frame, MemorySegment bytes) {
    return checksums == null || (int) XxHash64.of(bytes) == checksums.getAtIndex(INT, frame);
  }
}
