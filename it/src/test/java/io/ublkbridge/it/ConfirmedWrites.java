package io.ublkbridge.it;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import java.util.zip.CRC32C;

/// Writes to a disk until the power fails, noting elsewhere what an fsync has confirmed, and
/// afterwards looks whether that is there: a program of its own, which `it/power-loss` runs.
///
/// A block is written again and again, each time as a higher version. Of one that was being written
/// when the power failed, each sector may be of the old or of the new version.
final class ConfirmedWrites {
  private static final int WRITERS = 4;
  private static final int BLOCKS = 256;
  private static final int BLOCK_BYTES = 4096;
  private static final int SECTOR_BYTES = 512;

  private final FileChannel disk;
  private final FileChannel notes;

  private ConfirmedWrites(FileChannel disk, FileChannel notes) {
    this.disk = disk;
    this.notes = notes;
  }

  /// Verifies, and then goes on writing if that is asked for.
  ///
  /// @param arguments `write` or `verify`, the disk, the file of notes
  public static void main(String[] arguments) throws Exception {
    Path notes = Path.of(arguments[2]);
    try (FileChannel disk =
            FileChannel.open(
                Path.of(arguments[1]), StandardOpenOption.READ, StandardOpenOption.WRITE);
        FileChannel noted =
            FileChannel.open(notes, StandardOpenOption.CREATE, StandardOpenOption.APPEND)) {
      ConfirmedWrites writes = new ConfirmedWrites(disk, noted);
      Map<Integer, Long> confirmed = confirmed(notes);
      long newest = writes.verify(confirmed);
      if (arguments[0].equals("write")) {
        writes.writeForEver(newest + 1, Path.of(notes + ".begun"));
      }
    }
  }

  /// The highest confirmed version of each block.
  private static Map<Integer, Long> confirmed(Path notes) throws IOException {
    Map<Integer, Long> confirmed = new HashMap<>();
    for (String line : Files.readAllLines(notes)) {
      int space = line.indexOf(' ');
      confirmed.merge(
          Integer.valueOf(line.substring(0, space)),
          Long.valueOf(line.substring(space + 1)),
          Math::max);
    }
    return confirmed;
  }

  /// @return the newest version that any sector has
  private long verify(Map<Integer, Long> confirmed) throws IOException {
    long newest = 0;
    for (int block = 0; block < WRITERS * BLOCKS; block++) {
      ByteBuffer found = ByteBuffer.allocate(BLOCK_BYTES);
      disk.read(found, (long) block * BLOCK_BYTES);
      long expected = confirmed.getOrDefault(block, 0L);
      for (int sector = 0; sector < BLOCK_BYTES / SECTOR_BYTES; sector++) {
        long version = version(found.slice(sector * SECTOR_BYTES, SECTOR_BYTES), block, sector);
        if (version < expected) {
          throw new IllegalStateException(
              "block %d, sector %d: version %d was confirmed, %d is there"
                  .formatted(block, sector, expected, version));
        }
        newest = Math.max(newest, version);
      }
    }
    return newest;
  }

  /// @return 0 for a sector that was never written
  private static long version(ByteBuffer sector, int block, int index) {
    long version = sector.getLong(0);
    if (version != 0 && !sector.equals(sector(version, block, index))) {
      throw new IllegalStateException(
          "block %d, sector %d: torn or another's".formatted(block, index));
    }
    return version;
  }

  private static ByteBuffer sector(long version, int block, int index) {
    ByteBuffer sector = ByteBuffer.allocate(SECTOR_BYTES);
    byte[] noise = new byte[SECTOR_BYTES - 20];
    new SplittableRandom(version * 31 + block).nextBytes(noise);
    sector.putLong(version).putInt(block).putInt(index).put(noise);
    CRC32C crc = new CRC32C();
    crc.update(sector.array(), 0, sector.position());
    return sector.putInt((int) crc.getValue()).flip();
  }

  private void writeForEver(long firstVersion, Path begun) throws Exception {
    Thread.setDefaultUncaughtExceptionHandler((thread, failure) -> {
      // The others must not go on as if nothing had happened.
      failure.printStackTrace();
      Runtime.getRuntime().halt(1);
    });
    List<Thread> writers =
        IntStream.range(0, WRITERS)
            .mapToObj(writer -> Thread.ofPlatform().start(() -> write(writer, firstVersion, begun)))
            .toList();
    for (Thread writer : writers) {
      writer.join();
    }
  }

  private void write(int writer, long firstVersion, Path begun) {
    SplittableRandom random = new SplittableRandom(firstVersion * WRITERS + writer);
    try {
      for (long version = firstVersion; ; version++) {
        int block = writer * BLOCKS + random.nextInt(BLOCKS);
        ByteBuffer bytes = ByteBuffer.allocate(BLOCK_BYTES);
        for (int sector = 0; sector < BLOCK_BYTES / SECTOR_BYTES; sector++) {
          bytes.put(sector(version, block, sector));
        }
        disk.write(bytes.flip(), (long) block * BLOCK_BYTES);
        disk.force(true);
        notes.write(
            ByteBuffer.wrap((block + " " + version + "\n").getBytes(StandardCharsets.US_ASCII)));
        if (version == firstVersion && writer == 0) {
          Files.createFile(begun);
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
