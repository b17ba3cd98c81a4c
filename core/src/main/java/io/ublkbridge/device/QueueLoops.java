package io.ublkbridge.device;

import io.netty.channel.IoEventLoop;
import io.netty.channel.IoHandlerFactory;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.uring.IoUring;
import io.netty.channel.uring.IoUringIoHandlerConfig;
import io.netty.util.concurrent.DefaultThreadFactory;
import io.ublkbridge.kernel.EventLoopTurns;
import io.ublkbridge.kernel.UblkException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/// The io_uring event loops of one device: loop N is queue N's.
///
/// Each is a platform thread for life: the kernel ties a tag to the task that fetched it, so loops
/// are never virtual, suspended or exchanged.
public final class QueueLoops implements AutoCloseable {
  /// Room for what a target does on the same ring: sockets, files, timers.
  private static final int TARGET_ENTRIES = 512;

  private static final int RING_ENTRIES_MAX = 16384;

  private final MultiThreadIoEventLoopGroup group;
  private final List<IoEventLoop> loops;

  /// Creates loops with rings that hold every tag's command at once.
  ///
  /// @throws UblkException if io_uring cannot be used here
  public QueueLoops(int count, int depth) {
    if (!IoUring.isAvailable()) {
      throw new UblkException(
          "io_uring cannot be used: " + rootCause(IoUring.unavailabilityCause()));
    }
    int entries =
        Math.min(RING_ENTRIES_MAX, Integer.highestOneBit(2 * depth + TARGET_ENTRIES - 1) << 1);
    IoHandlerFactory rings =
        EventLoopTurns.factory(
            new IoUringIoHandlerConfig().setRingSize(entries).setCqSize(2 * entries));
    group =
        new MultiThreadIoEventLoopGroup(count, new DefaultThreadFactory("ublk-queue", true), rings);
    loops = new ArrayList<>();
    group.forEach(loop -> loops.add((IoEventLoop) loop));
  }

  public IoEventLoop loop(int index) {
    return loops.get(index);
  }

  public int count() {
    return loops.size();
  }

  /// Ends the loops; only after every device on them is gone, since a parked tag would be lost.
  @Override
  public void close() {
    group.shutdownGracefully(0, 5, TimeUnit.SECONDS).awaitUninterruptibly(10, TimeUnit.SECONDS);
  }

  private static String rootCause(Throwable failure) {
    Throwable cause = failure;
    while (cause.getCause() != null) {
      cause = cause.getCause();
    }
    return String.valueOf(cause.getMessage());
  }
}
