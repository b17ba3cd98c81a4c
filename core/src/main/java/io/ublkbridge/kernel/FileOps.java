package io.ublkbridge.kernel;

import io.netty.channel.uring.IoUringIoOps;

/// The io_uring operations on files, as `linux/io_uring.h` numbers them and `io_uring_enter(2)`
/// lays out their fields. The last parameter comes back with the completion.
public final class FileOps {
  private static final byte IORING_OP_FSYNC = 3;
  private static final byte IORING_OP_READ_FIXED = 4;
  private static final byte IORING_OP_WRITE_FIXED = 5;
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
  private static final int FALLOC_FL_ZERO_RANGE = 16;

  private FileOps() {}

  static IoUringIoOps read(int fd, long positionBytes, long address, int lengthBytes, int tag) {
    return operation(IORING_OP_READ, fd, positionBytes, address, lengthBytes, 0, tag);
  }

  /// @param durable whether the bytes are durable when it completes
  static IoUringIoOps write(
      int fd, long positionBytes, long address, int lengthBytes, boolean durable, int tag) {
    int flags = durable ? RWF_DSYNC : 0;
    return operation(IORING_OP_WRITE, fd, positionBytes, address, lengthBytes, flags, tag);
  }

  /// Reads into a registered buffer of the ring.
  ///
  /// @param at where in the buffer
  static IoUringIoOps readFixed(
      int fd, long positionBytes, int buffer, long at, int lengthBytes, int tag) {
    return operation(
        IORING_OP_READ_FIXED, fd, positionBytes, at, lengthBytes, 0, tag, (short) buffer);
  }

  /// Writes from a registered buffer of the ring.
  ///
  /// @param at where in the buffer
  static IoUringIoOps writeFixed(
      int fd, long positionBytes, int buffer, long at, int lengthBytes, boolean durable, int tag) {
    int flags = durable ? RWF_DSYNC : 0;
    return operation(
        IORING_OP_WRITE_FIXED, fd, positionBytes, at, lengthBytes, flags, tag, (short) buffer);
  }

  static IoUringIoOps dataSync(int fd, int tag) {
    return operation(IORING_OP_FSYNC, fd, 0, 0, 0, IORING_FSYNC_DATASYNC, tag);
  }

  /// Makes a hole, which reads as zeroes and takes no room; the file's length stays.
  public static IoUringIoOps punchHole(int fd, long positionBytes, long lengthBytes, int tag) {
    return allocate(fd, positionBytes, lengthBytes, FALLOC_FL_PUNCH_HOLE, tag);
  }

  /// Makes zeroes that keep their room; the file's length stays.
  static IoUringIoOps zeroRange(int fd, long positionBytes, long lengthBytes, int tag) {
    return allocate(fd, positionBytes, lengthBytes, FALLOC_FL_ZERO_RANGE, tag);
  }

  /// Asks whether holes can be punched by punching one behind the end, where nothing is.
  public static IoUringIoOps punchBehindTheEnd(int fd, long sizeBytes) {
    return punchHole(fd, sizeBytes, 4096, 0);
  }

  private static IoUringIoOps allocate(
      int fd, long positionBytes, long lengthBytes, int mode, int tag) {
    return operation(
        IORING_OP_FALLOCATE, fd, positionBytes, lengthBytes, mode | FALLOC_FL_KEEP_SIZE, 0, tag);
  }

  /// `statx(2)` of an open file.
  ///
  /// @param emptyPath address of an empty C string
  /// @param result address of 256 bytes for `struct statx`
  public static IoUringIoOps statx(int fd, long emptyPath, long result, int mask) {
    int atEmptyPath = 0x1000;
    return operation(IORING_OP_STATX, fd, result, emptyPath, mask, atEmptyPath, 0);
  }

  private static IoUringIoOps operation(
      byte opcode, int fd, long offset, long address, int length, int flags, int tag) {
    return operation(opcode, fd, offset, address, length, flags, tag, (short) 0);
  }

  private static IoUringIoOps operation(
      byte opcode,
      int fd,
      long offset,
      long address,
      int length,
      int flags,
      int tag,
      short bufferIndex) {
    return new IoUringIoOps(
        opcode,
        (byte) 0,
        (short) 0,
        fd,
        offset,
        address,
        length,
        flags,
        (long) tag,
        bufferIndex,
        (short) 0,
        0,
        0);
  }
}
