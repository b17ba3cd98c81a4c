package io.ublkbridge.loop;

import io.netty.channel.IoEventLoop;
import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.FileOps;
import io.ublkbridge.kernel.Posix;
import io.ublkbridge.kernel.RingCall;
import io.ublkbridge.kernel.RingFile;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import io.ublkbridge.target.TargetQueue;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeoutException;

/// A disk in a local file or block device: `file:PATH`.
///
/// I/O goes through the page cache of this machine: a completed WRITE is durable after a FLUSH, or
/// when it was asked to be durable by itself. DISCARD gives the range back to the file system.
///
/// Every queue has file descriptions of its own, so that Linux tells each of them when written data
/// was lost (see [SyncGroup]).
final class LoopTarget implements BlockTarget {
  /// `struct statx` in `linux/stat.h`: 256 bytes, `__u64 stx_blocks` in units of 512 at 48.
  private static final long STATX_BYTES = 256;

  private static final long STX_BLOCKS = 48;
  private static final int STATX_BLOCKS = 0x400;
  private static final int STATX_UNIT_BYTES = 512;

  private static final Duration DETAILS_TIMEOUT = Duration.ofSeconds(2);

  private final LoopFile file;
  private final IoEventLoop eventLoop;
  private final Arena arena = Arena.ofShared();

  /// A `struct statx`, and an empty C string behind it.
  private final MemorySegment status = arena.allocate(STATX_BYTES + 1, 8);

  /// Whether the kernel may still write to [#status], which then stays for ever.
  private boolean answerOwed;

  private boolean closed;

  private LoopTarget(LoopFile file, IoEventLoop eventLoop) {
    this.file = file;
    this.eventLoop = eventLoop;
  }

  static LoopTarget open(Path path, OpenContext context) throws TargetOpenException {
    return new LoopTarget(LoopOpener.open(path, context), context.eventLoop());
  }

  @Override
  public Geometry geometry() {
    return file.geometry();
  }

  @Override
  public Capabilities capabilities() {
    return file.capabilities();
  }

  @Override
  public Map<String, Object> details() {
    Map<String, Object> details = new LinkedHashMap<>();
    details.put("path", file.path().toString());
    details.put("kind", file.blockDevice() ? "block device" : "file");
    if (!file.blockDevice()) {
      long allocatedBytes = allocatedBytes();
      if (allocatedBytes >= 0) {
        details.put("allocatedBytes", allocatedBytes);
      }
    }
    return details;
  }

  /// How much room the file takes in its file system; negative if that cannot be known now.
  private synchronized long allocatedBytes() {
    if (closed || answerOwed) {
      return -1;
    }
    long emptyPath = status.address() + STATX_BYTES;
    try {
      int result =
          RingCall.run(
              eventLoop,
              FileOps.statx(file.fd(), emptyPath, status.address(), STATX_BLOCKS),
              DETAILS_TIMEOUT);
      return result < 0 ? -1 : status.get(ValueLayout.JAVA_LONG, STX_BLOCKS) * STATX_UNIT_BYTES;
    } catch (TimeoutException e) {
      answerOwed = true;
      return -1;
    } catch (RejectedExecutionException e) {
      return -1;
    }
  }

  @Override
  public TargetQueue openQueue(QueueContext context) throws TargetOpenException {
    int fd = reopen();
    int syncFd;
    try {
      syncFd = reopen();
    } catch (TargetOpenException e) {
      Posix.close(fd);
      throw e;
    }
    RingFile ring = new RingFile(fd, syncFd, file.fd());
    LoopQueue queue = new LoopQueue(file, context.depth(), new FileRing(ring));
    try {
      ring.join(context.eventLoop(), queue);
    } catch (RejectedExecutionException e) {
      queue.close();
      throw new TargetOpenException(
          Reason.FAILED, "cannot use io_uring on " + file.path() + ": " + e.getMessage(), null, e);
    }
    return queue;
  }

  private int reopen() throws TargetOpenException {
    int fd = file.reopen();
    if (fd < 0) {
      throw new TargetOpenException(
          Reason.FAILED, "cannot open " + file.path() + " again: " + Errno.describe(-fd), null);
    }
    return fd;
  }

  @Override
  public synchronized void close() {
    if (!closed) {
      closed = true;
      file.close();
      if (!answerOwed) {
        arena.close();
      }
    }
  }
}
