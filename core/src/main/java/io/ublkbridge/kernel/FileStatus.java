package io.ublkbridge.kernel;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.netty.channel.IoEventLoop;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeoutException;

/// What `statx(2)` says of an open file beyond what Java tells: `struct statx` in `linux/stat.h`,
/// 256 bytes.
///
/// @param allocatedBytes how much room it takes in its file system
/// @param device major number of its file system's device in the upper half, minor in the lower
/// @param inode its number there; may be another file's after this one is deleted
/// @param bornSeconds when it was made, since 1970; 0 where the file system does not remember
/// @param bornNanos the fraction of that
public record FileStatus(
    long allocatedBytes, long device, long inode, long bornSeconds, int bornNanos) {
  private static final long BYTES = 256;
  private static final long STX_MASK = 0;
  private static final long STX_INO = 32;
  private static final long STX_BLOCKS = 48;
  private static final long STX_BTIME = 80;
  private static final long STX_BTIME_NSEC = 88;
  private static final long STX_DEV_MAJOR = 136;
  private static final long STX_DEV_MINOR = 140;
  private static final int STATX_INO = 0x100;
  private static final int STATX_BLOCKS = 0x400;
  private static final int STATX_BTIME = 0x800;
  private static final int UNIT_BYTES = 512;

  /// Asks through a loop's io_uring; for control threads. Empty if there is no answer in time; the
  /// kernel may then still write it, so its memory is never freed.
  @SuppressWarnings("MustBeClosedChecker") // Not closed while the kernel may write to it.
  public static Optional<FileStatus> of(IoEventLoop eventLoop, int fd, Duration timeout) {
    Arena arena = Arena.ofShared();
    // An empty C string follows the struct.
    MemorySegment status = arena.allocate(BYTES + 1, 8);
    try {
      long emptyPath = status.address() + BYTES;
      int mask = STATX_INO | STATX_BLOCKS | STATX_BTIME;
      int result =
          RingCall.run(eventLoop, FileOps.statx(fd, emptyPath, status.address(), mask), timeout);
      Optional<FileStatus> read = result < 0 ? Optional.empty() : Optional.of(readFrom(status));
      arena.close();
      return read;
    } catch (TimeoutException e) {
      return Optional.empty();
    } catch (RejectedExecutionException e) {
      arena.close();
      return Optional.empty();
    }
  }

  private static FileStatus readFrom(MemorySegment status) {
    boolean remembers = (status.get(JAVA_INT, STX_MASK) & STATX_BTIME) != 0;
    long major = Integer.toUnsignedLong(status.get(JAVA_INT, STX_DEV_MAJOR));
    long minor = Integer.toUnsignedLong(status.get(JAVA_INT, STX_DEV_MINOR));
    return new FileStatus(
        status.get(JAVA_LONG, STX_BLOCKS) * UNIT_BYTES,
        major << 32 | minor,
        status.get(JAVA_LONG, STX_INO),
        remembers ? status.get(JAVA_LONG, STX_BTIME) : 0,
        remembers ? status.get(JAVA_INT, STX_BTIME_NSEC) : 0);
  }

  /// Names the file among all that this machine has had, as far as its file system helps.
  public String identity() {
    return "inode %d of device %d:%d, made at %d.%09d"
        .formatted(inode, device >>> 32, device & 0xFFFF_FFFFL, bornSeconds, bornNanos);
  }
}
