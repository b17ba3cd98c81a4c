package io.ublkbridge.kernel;

import static java.lang.foreign.MemoryLayout.PathElement.groupElement;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;

/// A command to `/dev/ublk-control`: `struct ublksrv_ctrl_cmd`, 32 bytes at byte 48 of a 128-byte
/// submission entry.
///
/// @param operation `UBLK_U_CMD_*`
/// @param deviceId which device; -1 lets ADD_DEV pick one
/// @param buffer what the command reads or fills, or [MemorySegment#NULL]
/// @param data the command's own argument (START_DEV: the server's pid)
/// @param pathBytes how many bytes of `buffer` are the path that GET_DEV_INFO2 wants in front
record ControlCommand(int operation, int deviceId, MemorySegment buffer, long data, int pathBytes) {
  static final StructLayout LAYOUT =
      MemoryLayout.structLayout(
              JAVA_INT.withName("dev_id"),
              JAVA_SHORT.withName("queue_id"),
              JAVA_SHORT.withName("len"),
              JAVA_LONG.withName("addr"),
              JAVA_LONG.withName("data"),
              JAVA_SHORT.withName("dev_path_len"),
              JAVA_SHORT.withName("pad"),
              JAVA_INT.withName("reserved"))
          .withName("ublksrv_ctrl_cmd");

  private static final long DEV_ID = LAYOUT.byteOffset(groupElement("dev_id"));
  private static final long QUEUE_ID = LAYOUT.byteOffset(groupElement("queue_id"));
  private static final long LEN = LAYOUT.byteOffset(groupElement("len"));
  private static final long ADDR = LAYOUT.byteOffset(groupElement("addr"));
  private static final long DATA = LAYOUT.byteOffset(groupElement("data"));
  private static final long DEV_PATH_LEN = LAYOUT.byteOffset(groupElement("dev_path_len"));

  /// ADD_DEV demands it, the other commands ignore it.
  private static final short NO_QUEUE = (short) 0xffff;

  void writeTo(MemorySegment target) {
    target.fill((byte) 0);
    target.set(JAVA_INT, DEV_ID, deviceId);
    target.set(JAVA_SHORT, QUEUE_ID, NO_QUEUE);
    target.set(JAVA_SHORT, LEN, (short) buffer.byteSize());
    target.set(JAVA_LONG, ADDR, buffer.address());
    target.set(JAVA_LONG, DATA, data);
    target.set(JAVA_SHORT, DEV_PATH_LEN, (short) pathBytes);
  }
}
