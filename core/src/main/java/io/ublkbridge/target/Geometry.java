package io.ublkbridge.target;

/// The sizes of a target, all in bytes.
///
/// @param sizeBytes how long the disk is; a multiple of `blockBytes`
/// @param blockBytes the smallest unit of I/O: 512 to 4096, a power of two
/// @param preferredIoBytes the unit in which the target works best, a power of two and at least
///   `blockBytes`
/// @param maxIoBytes the longest READ or WRITE; a multiple of 4096
/// @param maxZeroBytes the longest DISCARD or WRITE_ZEROES; a multiple of `blockBytes`
public record Geometry(
    long sizeBytes, int blockBytes, int preferredIoBytes, int maxIoBytes, long maxZeroBytes) {

  /// The smallest and the largest logical block that the kernel accepts on every architecture.
  public static final int MIN_BLOCK_BYTES = 512;

  public static final int MAX_BLOCK_BYTES = 4096;

  public Geometry {
    require(
        blockBytes >= MIN_BLOCK_BYTES
            && blockBytes <= MAX_BLOCK_BYTES
            && Integer.bitCount(blockBytes) == 1,
        "block size",
        blockBytes);
    require(sizeBytes > 0 && sizeBytes % blockBytes == 0, "size", sizeBytes);
    require(
        preferredIoBytes >= blockBytes && Integer.bitCount(preferredIoBytes) == 1,
        "preferred I/O size",
        preferredIoBytes);
    require(maxIoBytes >= 4096 && maxIoBytes % 4096 == 0, "maximum I/O size", maxIoBytes);
    require(
        maxZeroBytes >= blockBytes && maxZeroBytes % blockBytes == 0,
        "maximum discard size",
        maxZeroBytes);
  }

  /// The same of another length.
  public Geometry ofSize(long otherBytes) {
    return new Geometry(otherBytes, blockBytes, preferredIoBytes, maxIoBytes, maxZeroBytes);
  }

  private static void require(boolean condition, String what, long value) {
    if (!condition) {
      throw new IllegalArgumentException("a disk cannot have a " + what + " of " + value);
    }
  }
}
