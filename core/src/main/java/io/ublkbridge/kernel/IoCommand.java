package io.ublkbridge.kernel;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import io.netty.channel.uring.IoUringIoOps;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.StructLayout;

/// The two commands of the data plane as submissions for Netty's ring: `struct ublksrv_io_cmd`, 16
/// bytes at byte 48 of a 64-byte submission entry.
///
/// Netty carries bytes 48 to 55, which is `q_id`, `tag` and `result`; `addr` stays 0, as
/// `UBLK_F_USER_COPY` demands.
public final class IoCommand {
  static final StructLayout LAYOUT =
      MemoryLayout.structLayout(
              JAVA_SHORT.withName("q_id"),
              JAVA_SHORT.withName("tag"),
              JAVA_INT.withName("result"),
              JAVA_LONG.withName("addr"))
          .withName("ublksrv_io_cmd");

  private static final byte IORING_OP_URING_CMD = 46;

  private IoCommand() {}

  /// Hands a tag to the kernel for the first time. The tag comes back as user data.
  public static IoUringIoOps fetch(int fd, int queue, int tag) {
    return command(fd, UblkAbi.UBLK_U_IO_FETCH_REQ, tag, firstBytes(queue, tag, 0));
  }

  /// Ends the tag's request and hands the tag back to the kernel.
  ///
  /// @param result all bytes of a READ or WRITE, 0 for other operations, or a negative error number
  public static IoUringIoOps commitAndFetch(int fd, int queue, int tag, int result) {
    return command(fd, UblkAbi.UBLK_U_IO_COMMIT_AND_FETCH_REQ, tag, firstBytes(queue, tag, result));
  }

  static long firstBytes(int queue, int tag, int result) {
    return (queue & 0xffffL) | ((tag & 0xffffL) << 16) | ((long) result << 32);
  }

  private static IoUringIoOps command(int fd, int operation, int tag, long firstBytes) {
    return new IoUringIoOps(
        IORING_OP_URING_CMD,
        (byte) 0,
        (short) 0,
        fd,
        Integer.toUnsignedLong(operation), // cmd_op, and the padding that must be 0
        0L, // addr
        0, // len
        0, // uring_cmd_flags
        (long) tag, // user_data
        (short) 0,
        (short) 0,
        0,
        firstBytes);
  }
}
