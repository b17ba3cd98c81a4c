package io.ublkbridge.device;

import io.netty.util.concurrent.SingleThreadEventExecutor;
import io.netty.util.concurrent.ThreadProperties;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Looks after event loops. One that makes no turn is reported with where its thread is; of one
/// that still makes none long after, its owner is told, who ends the process so that another server
/// takes the disk over.
///
/// Time is counted in looks and not by a clock: a process that was stopped, or a machine that
/// slept, has missed none.
public final class LoopWatch implements AutoCloseable {
  /// Longer than names take to be resolved on a loop, shorter than what users of a disk bear.
  static final int LOOKS_UNTIL_REPORT = 10;

  static final int LOOKS_UNTIL_STUCK = 60;

  private static final Logger log = LoggerFactory.getLogger(LoopWatch.class);
  private static final Duration PERIOD = Duration.ofSeconds(1);

  private final List<Watched> loops;
  private final Consumer<StuckLoopException> owner;
  private final CountDownLatch closed = new CountDownLatch(1);

  /// To be driven by [#look].
  LoopWatch(List<? extends SingleThreadEventExecutor> loops, Consumer<StuckLoopException> owner) {
    this.loops = loops.stream().map(Watched::new).toList();
    this.owner = owner;
  }

  /// Watches loops from a thread of its own, until closed.
  ///
  /// @param owner told once of each time that a loop is stuck, on that thread
  public static LoopWatch start(QueueLoops loops, Consumer<StuckLoopException> owner) {
    LoopWatch watch =
        new LoopWatch(
            IntStream.range(0, loops.count())
                .mapToObj(i -> (SingleThreadEventExecutor) loops.loop(i))
                .toList(),
            owner);
    Thread.ofPlatform().daemon().name("loop-watch").start(watch::run);
    return watch;
  }

  private void run() {
    try {
      while (!closed.await(PERIOD.toMillis(), TimeUnit.MILLISECONDS)) {
        look();
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  /// One look at each loop.
  void look() {
    for (Watched loop : loops) {
      loop.look();
    }
  }

  /// Ends watching; before the loops end.
  @Override
  public void close() {
    closed.countDown();
  }

  /// A loop, which is asked for a sign of life at most once at a time.
  private final class Watched {
    private final SingleThreadEventExecutor loop;
    private final ThreadProperties thread;
    private volatile boolean turned = true;
    private int missed;

    Watched(SingleThreadEventExecutor loop) {
      this.loop = loop;
      this.thread = loop.threadProperties();
    }

    void look() {
      if (turned) {
        if (missed >= LOOKS_UNTIL_REPORT) {
          log.warn("event loop {} goes on after {} s", thread.name(), missed);
        }
        missed = 0;
        turned = false;
        if (!loop.isShuttingDown()) {
          loop.execute(() -> turned = true);
        }
        return;
      }
      missed++;
      if (missed == LOOKS_UNTIL_REPORT) {
        log.warn("requests wait", stuck());
      } else if (missed == LOOKS_UNTIL_STUCK) {
        owner.accept(stuck());
      }
    }

    private StuckLoopException stuck() {
      return new StuckLoopException(
          thread.name(), Duration.ofSeconds(missed * PERIOD.toSeconds()), thread.stackTrace());
    }
  }
}
