package io.ublkbridge.loop;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/// What sysfs says of a block device (Documentation/ABI/stable/sysfs-block in the kernel).
///
/// @param sizeBytes how long it is
/// @param blockBytes its logical block: shorter holes cannot be punched
/// @param writesZeroes whether it can zero a range by itself
/// @param identity the kernel's number of this very disk, which no other has had since boot, and
///   which part of it this is; empty before Linux 5.15
record BlockDeviceInfo(
    long sizeBytes,
    int blockBytes,
    boolean writesZeroes,
    boolean rotational,
    Optional<String> identity) {
  private static final int SECTOR_BYTES = 512;

  static BlockDeviceInfo of(String path) throws IOException {
    long device = (long) Files.getAttribute(Path.of(path), "unix:rdev");
    Path sysfs =
        Path.of("/sys/dev/block/%d:%d".formatted(major(device), minor(device))).toRealPath();
    return read(sysfs);
  }

  /// @param sysfs the device's directory; a partition has its queue in the one above
  static BlockDeviceInfo read(Path sysfs) throws IOException {
    Path queue = sysfs.resolve("queue");
    if (!Files.isDirectory(queue)) {
      queue = sysfs.resolveSibling("queue");
    }
    return new BlockDeviceInfo(
        number(sysfs.resolve("size")) * SECTOR_BYTES,
        Math.toIntExact(number(queue.resolve("logical_block_size"))),
        number(queue.resolve("write_zeroes_max_bytes")) > 0,
        number(queue.resolve("rotational")) != 0,
        identity(sysfs, queue.resolveSibling("diskseq")));
  }

  private static Optional<String> identity(Path sysfs, Path diskNumber) throws IOException {
    if (Files.notExists(diskNumber)) {
      return Optional.empty();
    }
    return Optional.of("disk number " + number(diskNumber) + ", " + sysfs.getFileName());
  }

  private static long number(Path attribute) throws IOException {
    try {
      return Long.parseLong(Files.readString(attribute).strip());
    } catch (NumberFormatException e) {
      throw new IOException(attribute + " holds no number", e);
    }
  }

  /// `gnu_dev_major(3)`.
  private static long major(long device) {
    return (device >>> 8 & 0xFFF) | (device >>> 32 & 0xFFFFF000L);
  }

  /// `gnu_dev_minor(3)`.
  private static long minor(long device) {
    return (device & 0xFF) | (device >>> 12 & 0xFFFFFF00L);
  }
}
