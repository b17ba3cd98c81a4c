package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.SplittableRandom;

/// Does to one file what programs do, in an order that a seed gives, and compares every byte that
/// it reads with what it remembers: writes and reads of any place and length, through system calls
/// and through mappings, holes, truncations, fsync, reopening. The old `fsx` of the BSDs did so
/// first.
final class FileExerciser {
  private static final int LENGTH_MAX = 256 << 10;
  private static final int PIECE_MAX = 64 << 10;

  private final Path file;
  private final SplittableRandom random;
  private final byte[] remembered = new byte[LENGTH_MAX];
  private FileChannel channel;
  private int length;
  private int step;

  FileExerciser(Path file, long seed) throws IOException {
    this.file = file;
    this.random = new SplittableRandom(seed);
    this.channel = open();
  }

  private FileChannel open() throws IOException {
    return FileChannel.open(
        file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
  }

  /// One more operation.
  void step() throws IOException {
    step++;
    switch (random.nextInt(20)) {
      case 0, 1, 2, 3, 4 -> write();
      case 5, 6, 7 -> writeMapped();
      case 8, 9, 10, 11 -> read();
      case 12, 13, 14 -> readMapped();
      case 15, 16 -> truncate();
      case 17 -> zero();
      case 18 -> channel.force(random.nextBoolean());
      default -> {
        suspend();
        resume();
      }
    }
    assertEquals(length, channel.size(), this::where);
  }

  /// Reads all of the file by a new descriptor.
  void verify() throws IOException {
    assertArrayEquals(Arrays.copyOf(remembered, length), Files.readAllBytes(file), this::where);
  }

  private String where() {
    return file + ", step " + step;
  }

  private void write() throws IOException {
    int at = random.nextInt(LENGTH_MAX);
    int bytes = piece(LENGTH_MAX - at);
    remember(at, bytes);
    ByteBuffer source = ByteBuffer.wrap(remembered, at, bytes);
    while (source.hasRemaining()) {
      channel.write(source, source.position());
    }
  }

  /// New bytes for a place that is about to be written, which may lie behind the end.
  private void remember(int at, int bytes) {
    byte[] fresh = new byte[bytes];
    random.nextBytes(fresh);
    System.arraycopy(fresh, 0, remembered, at, bytes);
    length = Math.max(length, at + bytes);
  }

  private void writeMapped() throws IOException {
    if (length == 0) {
      return;
    }
    int at = random.nextInt(length);
    int bytes = piece(length - at);
    remember(at, bytes);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment mapped = channel.map(MapMode.READ_WRITE, at, bytes, arena);
      MemorySegment.copy(remembered, at, mapped, ValueLayout.JAVA_BYTE, 0, bytes);
      if (random.nextInt(4) == 0) {
        mapped.force();
      }
    }
  }

  private void read() throws IOException {
    if (length == 0) {
      return;
    }
    int at = random.nextInt(length);
    ByteBuffer target = ByteBuffer.allocate(piece(length - at));
    while (target.hasRemaining()) {
      assertTrue(channel.read(target, at + target.position()) > 0, this::where);
    }
    assertSame(at, target.array());
  }

  private void readMapped() throws IOException {
    if (length == 0) {
      return;
    }
    int at = random.nextInt(length);
    int bytes = piece(length - at);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment mapped = channel.map(MapMode.READ_ONLY, at, bytes, arena);
      assertSame(at, mapped.toArray(ValueLayout.JAVA_BYTE));
    }
  }

  private void truncate() throws IOException {
    int to = random.nextInt(LENGTH_MAX);
    if (to < length) {
      channel.truncate(to);
    } else {
      // Its last byte makes the file so long; what is between is a hole.
      channel.write(ByteBuffer.allocate(1), to);
      to++;
    }
    if (to < length) {
      Arrays.fill(remembered, to, length, (byte) 0);
    }
    length = to;
  }

  /// Half of them holes, the other half zeroes with room of their own.
  private void zero() throws IOException {
    if (length == 0) {
      return;
    }
    int at = random.nextInt(length);
    int bytes = piece(length - at);
    String mode = random.nextBoolean() ? "--punch-hole" : "--zero-range --keep-size";
    Command.shell("fallocate %s -o %d -l %d %s".formatted(mode, at, bytes, file));
    Arrays.fill(remembered, at, at + bytes, (byte) 0);
  }

  private int piece(int most) {
    return 1 + random.nextInt(Math.min(most, PIECE_MAX));
  }

  private void assertSame(int at, byte[] found) {
    assertArrayEquals(Arrays.copyOfRange(remembered, at, at + found.length), found, this::where);
  }

  /// Lets go of the file, so that its file system can be unmounted.
  void suspend() throws IOException {
    channel.close();
  }

  void resume() throws IOException {
    channel = open();
  }
}
