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
/// `UBLK_F_USER_COPY` demands. The submission's own `addr`, at byte 16, says for a device with
/// `UBLK_F_AUTO_BUF_REG` which of the ring's buffers the next request's payload becomes, as a
/// `struct ublk_auto_buf_reg`.
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

  /// The first word of a command whose tag's requests become the ring's buffer `index`; a request
  /// for which that does not work is delivered all the same, see [IoDescriptor#payloadRegistered].
  static long autoBuffer(int index) {
    return (index & 0xffffL) | ((long) UblkAbi.UBLK_AUTO_BUF_REG_FALLBACK << 16);
  }

  /// Hands a tag to the kernel for the first time. The tag comes back as user data.
  public static IoUringIoOps fetch(CharDevice device, int queue, int tag) {
    return command(device, UblkAbi.UBLK_U_IO_FETCH_REQ, tag, firstBytes(queue, tag, 0));
  }

  /// Ends the tag's request and hands the tag back to the kernel.
  ///
  /// @param result all bytes of a READ or WRITE, 0 for other operations, or a negative error number
  public static IoUringIoOps commitAndFetch(CharDevice device, int queue, int tag, int result) {
    return command(
        device, UblkAbi.UBLK_U_IO_COMMIT_AND_FETCH_REQ, tag, firstBytes(queue, tag, result));
  }

  static long firstBytes(int queue, int tag, int result) {
    return (queue & 0xffffL) | ((tag & 0xffffL) << 16) | ((long) result << 32);
  }

  private static IoUringIoOps command(CharDevice device, int operation, int tag, long firstBytes) {
    return new IoUringIoOps(
        IORING_OP_URING_CMD,
        (byte) 0,
        (short) 0,
        device.fd(),
        Integer.toUnsignedLong(operation), // cmd_op, and the padding that must be 0
        device.registersPayload() ? autoBuffer(tag) : 0L, // addr
        0, // len
        0, // uring_cmd_flags
        (long) tag, // user_data
        (short) 0,
        (short) 0,
        0,
        firstBytes);
  }
}
