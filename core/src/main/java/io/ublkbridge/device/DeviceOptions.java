package io.ublkbridge.device;

import io.ublkbridge.kernel.UblkAbi;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.Geometry;

/// What a device is asked to be, beyond what its target says.
///
/// @param id the number in `/dev/ublkbN`, or -1 for the first free one
/// @param queues hardware queues, or 0 for what suits the target
/// @param depth requests under way at once per queue, 1 to 4096
/// @param maxIoBytes the longest request, a multiple of 4096, at most [#MAX_IO_BYTES]
/// @param blockBytes the smallest logical block, 512 or 4096; the target may need more
/// @param readOnly whether the disk is read-only whatever the target allows
/// @param recovery whether the disk outlives its server where the target can be taken over: its I/O
///   then waits for another server
/// @param partitionScan whether the kernel looks for partitions as soon as there is a disk; it can
///   do without since Linux 7.0
public record DeviceOptions(
    int id,
    int queues,
    int depth,
    int maxIoBytes,
    int blockBytes,
    boolean readOnly,
    boolean recovery,
    boolean partitionScan) {
  public static final int ANY_ID = -1;
  public static final int DEFAULT_DEPTH = 128;
  public static final int DEFAULT_MAX_IO_BYTES = 512 << 10;
  public static final int MAX_IO_BYTES = 4 << 20;

  /// More queues than this are used only when asked for.
  private static final int DEFAULT_QUEUES_MAX = 4;

  public DeviceOptions {
    require(id >= ANY_ID && id < 1 << 20, "an id is between 0 and 1048575", id);
    require(
        queues >= 0 && queues <= UblkAbi.UBLK_MAX_NR_QUEUES,
        "a device has 1 to " + UblkAbi.UBLK_MAX_NR_QUEUES + " queues",
        queues);
    require(
        depth >= 1 && depth <= UblkAbi.UBLK_MAX_QUEUE_DEPTH,
        "a queue is 1 to " + UblkAbi.UBLK_MAX_QUEUE_DEPTH + " deep",
        depth);
    require(
        maxIoBytes >= 4096 && maxIoBytes <= MAX_IO_BYTES && maxIoBytes % 4096 == 0,
        "the longest request is a multiple of 4K, at most 4M",
        maxIoBytes);
    require(
        blockBytes == Geometry.MIN_BLOCK_BYTES || blockBytes == Geometry.MAX_BLOCK_BYTES,
        "a block is 512 or 4096 bytes",
        blockBytes);
  }

  /// A device that ends with its server, and whose partitions are looked for.
  public DeviceOptions(
      int id, int queues, int depth, int maxIoBytes, int blockBytes, boolean readOnly) {
    this(id, queues, depth, maxIoBytes, blockBytes, readOnly, false, true);
  }

  /// The same with or without recovery.
  public DeviceOptions withRecovery(boolean wanted) {
    return new DeviceOptions(
        id, queues, depth, maxIoBytes, blockBytes, readOnly, wanted, partitionScan);
  }

  public static DeviceOptions defaults() {
    return new DeviceOptions(
        ANY_ID, 0, DEFAULT_DEPTH, DEFAULT_MAX_IO_BYTES, Geometry.MIN_BLOCK_BYTES, false);
  }

  /// How many event loops may be needed at most, before the target is known.
  public int loops(int cpus) {
    return Math.min(cpus, queues > 0 ? queues : DEFAULT_QUEUES_MAX);
  }

  /// How many queues the device gets: what was asked for or suits, never more than the target can
  /// use or there are CPUs.
  int queuesFor(Capabilities capabilities, int cpus) {
    return Math.min(loops(cpus), capabilities.queues());
  }

  private static void require(boolean condition, String rule, int value) {
    if (!condition) {
      throw new IllegalArgumentException(rule + ", not " + value);
    }
  }
}
