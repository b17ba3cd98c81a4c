package io.ublkbridge.loop;

import io.netty.channel.uring.IoUringIoOps;

/// The io_uring operations on files, as `linux/io_uring.h` numbers them and `io_uring_enter(2)`
/// lays out their fields.
final class UringOps {
  private static final byte IORING_OP_FSYNC = 3;
  private static final byte IORING_OP_FALLOCATE = 17;
  private static final byte IORING_OP_STATX = 21;
  private static final byte IORING_OP_READ = 22;
  private static final byte IORING_OP_WRITE = 23;

  private static final int IORING_FSYNC_DATASYNC = 1;

  /// `linux/fs.h`: the write is durable when it completes.
  private static final int RWF_DSYNC = 2;

  /// `linux/falloc.h`.
  static final int FALLOC_FL_KEEP_SIZE = 1;

  static final int FALLOC_FL_PUNCH_HOLE = 2;
  static final int FALLOC_FL_ZERO_RANGE = 16;

  private UringOps() {}

  static IoUringIoOps read(int fd, LoopSlot slot) {
    return transfer(IORING_OP_READ, fd, slot, 0);
  }

  static IoUringIoOps write(int fd, LoopSlot slot, boolean durable) {
    return transfer(IORING_OP_WRITE, fd, slot, durable ? RWF_DSYNC : 0);
  }

  private static IoUringIoOps transfer(byte opcode, int fd, LoopSlot slot, int flags) {
    return new IoUringIoOps(
        opcode,
        (byte) 0,
        (short) 0,
        fd,
        slot.positionBytes(),
        slot.address(),
        slot.transferBytes(),
        flags,
        (long) slot.index(),
        (short) 0,
        (short) 0,
        0,
        0);
  }

  static IoUringIoOps dataSync(int fd, LoopSlot slot) {
    return operation(IORING_OP_FSYNC, fd, 0, IORING_FSYNC_DATASYNC, slot.index());
  }

  static IoUringIoOps zero(int fd, LoopSlot slot, int mode) {
    return allocate(
        fd, slot.positionBytes(), slot.remainingBytes(), mode | FALLOC_FL_KEEP_SIZE, slot.index());
  }

  /// Asks whether holes can be punched by punching one behind the end, where nothing is.
  static IoUringIoOps punchBehindTheEnd(int fd, long sizeBytes) {
    return allocate(fd, sizeBytes, 4096, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0);
  }

  private static IoUringIoOps allocate(
      int fd, long offsetBytes, long lengthBytes, int mode, int userData) {
    return new IoUringIoOps(
        IORING_OP_FALLOCATE,
        (byte) 0,
        (short) 0,
        fd,
        offsetBytes,
        lengthBytes,
        mode,
        0,
        (long) userData,
        (short) 0,
        (short) 0,
        0,
        0);
  }

  /// `statx(2)` of an open file.
  ///
  /// @param emptyPath address of an empty C string
  /// @param result address of 256 bytes for `struct statx`
  static IoUringIoOps statx(int fd, long emptyPath, long result, int mask) {
    int atEmptyPath = 0x1000;
    return new IoUringIoOps(
        IORING_OP_STATX,
        (byte) 0,
        (short) 0,
        fd,
        result,
        emptyPath,
        mask,
        atEmptyPath,
        0L,
        (short) 0,
        (short) 0,
        0,
        0);
  }

  private static IoUringIoOps operation(
      byte opcode, int fd, int lengthBytes, int flags, int userData) {
    return new IoUringIoOps(
        opcode,
        (byte) 0,
        (short) 0,
        fd,
        0,
        0,
        lengthBytes,
        flags,
        (long) userData,
        (short) 0,
        (short) 0,
        0,
        0);
  }
}
