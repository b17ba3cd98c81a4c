package io.ublkbridge.nbd;

import io.netty.channel.IoEventLoop;
import io.netty.util.concurrent.GlobalEventExecutor;
import java.time.Duration;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// An io_uring event loop of Netty's. One that has ended forgets what it is given.
@SuppressWarnings("FutureReturnValueIgnored") // What runs here tells its failures itself.
record UringQueueLoop(IoEventLoop loop) implements QueueLoop {
  private static final Logger LOG = LoggerFactory.getLogger(UringQueueLoop.class);

  @Override
  public void execute(Runnable action) {
    try {
      loop.execute(guarded(action));
    } catch (RejectedExecutionException e) {
      LOG.debug("the loop has ended", e);
    }
  }

  /// By a timer of another thread: as long as a loop has one of its own, each of its waits costs a
  /// timeout.
  @Override
  public void after(Duration delay, Runnable action) {
    var _ =
        GlobalEventExecutor.INSTANCE.schedule(
            () -> execute(action), delay.toNanos(), TimeUnit.NANOSECONDS);
  }

  private static Runnable guarded(Runnable action) {
    return () -> {
      try {
        action.run();
      } catch (RuntimeException | Error e) {
        // Nobody else would hear of it, and a queue that went wrong must not stay silent.
        LOG.error("an NBD queue's task failed", e);
        throw e;
      }
    };
  }

  @Override
  public long nanoTime() {
    return loop.ticker().nanoTime();
  }

  @Override
  public TurnEnd turnEnd(Runnable action) {
    try {
      return new UringTurnEnd(loop, action);
    } catch (ExecutionException e) {
      throw new IllegalStateException("the event loop takes no more", e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("interrupted", e);
    }
  }
}
