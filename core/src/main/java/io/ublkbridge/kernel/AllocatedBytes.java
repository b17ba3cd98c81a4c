package io.ublkbridge.kernel;

import io.netty.channel.IoEventLoop;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.OptionalLong;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeoutException;

/// How much room an open file takes in its file system, which Java does not tell. For control
/// threads.
public final class AllocatedBytes {
  /// `struct statx` in `linux/stat.h`: 256 bytes, `__u64 stx_blocks` in units of 512 at 48.
  private static final long STATX_BYTES = 256;

  private static final long STX_BLOCKS = 48;
  private static final int STATX_BLOCKS = 0x400;
  private static final int STATX_UNIT_BYTES = 512;

  private AllocatedBytes() {}

  /// Asks through a loop's io_uring. Empty if there is no answer in time; the kernel may then still
  /// write it, so its memory is never freed.
  @SuppressWarnings("MustBeClosedChecker") // Not closed while the kernel may write to it.
  public static OptionalLong of(IoEventLoop eventLoop, int fd, Duration timeout) {
    Arena arena = Arena.ofShared();
    // An empty C string follows the struct.
    MemorySegment status = arena.allocate(STATX_BYTES + 1, 8);
    try {
      long emptyPath = status.address() + STATX_BYTES;
      int result =
          RingCall.run(
              eventLoop, FileOps.statx(fd, emptyPath, status.address(), STATX_BLOCKS), timeout);
      long blocks = status.get(ValueLayout.JAVA_LONG, STX_BLOCKS);
      arena.close();
      return result < 0 ? OptionalLong.empty() : OptionalLong.of(blocks * STATX_UNIT_BYTES);
    } catch (TimeoutException e) {
      return OptionalLong.empty();
    } catch (RejectedExecutionException e) {
      arena.close();
      return OptionalLong.empty();
    }
  }
}
