package io.ublkbridge.kernel;

import static java.lang.foreign.MemoryLayout.PathElement.groupElement;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;

/// What a device is made of: `struct ublksrv_ctrl_dev_info`, 64 bytes.
///
/// @param queues hardware queues; the kernel lowers it to the number of CPUs
/// @param depth tags per queue, 1 to 4096
/// @param state `UBLK_S_DEV_*`; the kernel's word
/// @param maxIoBytes the longest request, rounded down to a page by the kernel
/// @param id the number in `/dev/ublkbN`; -1 lets ADD_DEV pick one
/// @param serverPid whose device it is, -1 before START_DEV; the kernel's word
/// @param flags `UBLK_F_*`; the kernel clears those it does not know
/// @param mark what the server that added it wants to know it by; the kernel only keeps it
public record DeviceInfo(
    int queues,
    int depth,
    int state,
    int maxIoBytes,
    int id,
    int serverPid,
    long flags,
    long mark) {
  static final StructLayout LAYOUT =
      MemoryLayout.structLayout(
              JAVA_SHORT.withName("nr_hw_queues"),
              JAVA_SHORT.withName("queue_depth"),
              JAVA_SHORT.withName("state"),
              JAVA_SHORT.withName("pad0"),
              JAVA_INT.withName("max_io_buf_bytes"),
              JAVA_INT.withName("dev_id"),
              JAVA_INT.withName("ublksrv_pid"),
              JAVA_INT.withName("pad1"),
              JAVA_LONG.withName("flags"),
              JAVA_LONG.withName("ublksrv_flags"),
              JAVA_INT.withName("owner_uid"),
              JAVA_INT.withName("owner_gid"),
              JAVA_LONG.withName("reserved1"),
              JAVA_LONG.withName("reserved2"))
          .withName("ublksrv_ctrl_dev_info");

  private static final long NR_HW_QUEUES = LAYOUT.byteOffset(groupElement("nr_hw_queues"));
  private static final long QUEUE_DEPTH = LAYOUT.byteOffset(groupElement("queue_depth"));
  private static final long STATE = LAYOUT.byteOffset(groupElement("state"));
  private static final long MAX_IO_BUF_BYTES = LAYOUT.byteOffset(groupElement("max_io_buf_bytes"));
  private static final long DEV_ID = LAYOUT.byteOffset(groupElement("dev_id"));
  private static final long UBLKSRV_PID = LAYOUT.byteOffset(groupElement("ublksrv_pid"));
  private static final long FLAGS = LAYOUT.byteOffset(groupElement("flags"));
  private static final long UBLKSRV_FLAGS = LAYOUT.byteOffset(groupElement("ublksrv_flags"));

  /// What to ask ADD_DEV for.
  public static DeviceInfo wanted(
      int queues, int depth, int maxIoBytes, int id, long flags, long mark) {
    return new DeviceInfo(queues, depth, UblkAbi.UBLK_S_DEV_DEAD, maxIoBytes, id, -1, flags, mark);
  }

  static DeviceInfo readFrom(MemorySegment source) {
    return new DeviceInfo(
        Short.toUnsignedInt(source.get(JAVA_SHORT, NR_HW_QUEUES)),
        Short.toUnsignedInt(source.get(JAVA_SHORT, QUEUE_DEPTH)),
        Short.toUnsignedInt(source.get(JAVA_SHORT, STATE)),
        source.get(JAVA_INT, MAX_IO_BUF_BYTES),
        source.get(JAVA_INT, DEV_ID),
        source.get(JAVA_INT, UBLKSRV_PID),
        source.get(JAVA_LONG, FLAGS),
        source.get(JAVA_LONG, UBLKSRV_FLAGS));
  }

  void writeTo(MemorySegment target) {
    target.fill((byte) 0);
    target.set(JAVA_SHORT, NR_HW_QUEUES, (short) queues);
    target.set(JAVA_SHORT, QUEUE_DEPTH, (short) depth);
    target.set(JAVA_SHORT, STATE, (short) state);
    target.set(JAVA_INT, MAX_IO_BUF_BYTES, maxIoBytes);
    target.set(JAVA_INT, DEV_ID, id);
    target.set(JAVA_INT, UBLKSRV_PID, serverPid);
    target.set(JAVA_LONG, FLAGS, flags);
    target.set(JAVA_LONG, UBLKSRV_FLAGS, mark);
  }
}
