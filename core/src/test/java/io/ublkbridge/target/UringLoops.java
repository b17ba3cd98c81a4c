package io.ublkbridge.target;

import io.netty.channel.EventLoop;
import io.netty.channel.IoEventLoop;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.uring.IoUringIoHandlerConfig;
import io.ublkbridge.kernel.EventLoopTurns;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;

/// Real io_uring event loops for tests of targets.
public final class UringLoops implements AutoCloseable {
  private final MultiThreadIoEventLoopGroup group;

  public UringLoops(int count) {
    group =
        new MultiThreadIoEventLoopGroup(
            count, EventLoopTurns.factory(new IoUringIoHandlerConfig()));
  }

  public IoEventLoop next() {
    return group.next();
  }

  /// A context to open a target with.
  public OpenContext openContext(Map<String, String> options) {
    return new OpenContext(next(), false, Duration.ofSeconds(10), options);
  }

  /// The context of the only queue of a device.
  public QueueContext queueContext(int depth) {
    return new QueueContext(0, 1, depth, 1 << 20, next());
  }

  /// Submits on the loop, as the queue would.
  public static void submit(EventLoop loop, TargetQueue queue, BlockRequest... requests) {
    run(
        loop,
        () -> {
          for (BlockRequest request : requests) {
            queue.submit(request);
          }
          return "";
        });
  }

  /// Runs something on a loop and waits for it.
  public static <T> T run(EventLoop loop, Callable<T> action) {
    try {
      return loop.submit(action).get(10, TimeUnit.SECONDS);
    } catch (Exception e) {
      throw new AssertionError(e);
    }
  }

  @Override
  public void close() {
    group.shutdownGracefully(0, 5, TimeUnit.SECONDS).awaitUninterruptibly();
  }
}
