package io.ublkbridge.s3;

import io.netty.channel.EventLoop;
import io.netty.util.concurrent.ScheduledFuture;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Whether a store gives answers at all, as one queue sees it: from the first failure after a
/// success until the next success it does not.
///
/// Confined to the event loop, except [#state].
final class StoreHealth {
  private static final Logger LOG = LoggerFactory.getLogger(StoreHealth.class);

  /// What passes sooner than this is nobody's business.
  private static final long ANNOUNCE_SECONDS = 2;

  /// @param why for people
  /// @param sinceNanos on the loop's clock
  /// @param failedNanos when it last went wrong, on the same clock
  record State(String why, long sinceNanos, long failedNanos) {}

  private final EventLoop loop;
  private final Duration lossTimeout;
  private final Runnable giveUp;

  private boolean failing;
  private boolean gaveUp;
  private long sinceNanos;
  private long failedNanos;
  private volatile @Nullable Long answeredNanos;
  private String why = "";
  private @Nullable ScheduledFuture<?> announcement;
  private @Nullable ScheduledFuture<?> patience;
  private volatile @Nullable State state;

  /// @param lossTimeout how long to wait for a success; zero for ever
  /// @param giveUp to be run on the loop when that time is over
  StoreHealth(EventLoop loop, Duration lossTimeout, Runnable giveUp) {
    this.loop = loop;
    this.lossTimeout = lossTimeout;
    this.giveUp = giveUp;
  }

  void succeeded() {
    long now = loop.ticker().nanoTime();
    answeredNanos = now;
    if (!failing) {
      return;
    }
    failing = false;
    gaveUp = false;
    if (state != null) {
      LOG.info(
          "the S3 store answers again after {} s",
          TimeUnit.NANOSECONDS.toSeconds(now - sinceNanos));
    }
    state = null;
    stopTimers();
  }

  void failed(StoreException failure) {
    why = failure.message();
    failedNanos = loop.ticker().nanoTime();
    if (failing) {
      if (state != null) {
        state = new State(why, sinceNanos, failedNanos);
      }
      return;
    }
    failing = true;
    sinceNanos = failedNanos;
    announcement = loop.schedule(this::announce, ANNOUNCE_SECONDS, TimeUnit.SECONDS);
    if (lossTimeout.isPositive()) {
      patience = loop.schedule(this::runOut, lossTimeout.toNanos(), TimeUnit.NANOSECONDS);
    }
  }

  private void announce() {
    state = new State(why, sinceNanos, failedNanos);
    LOG.warn("the S3 store gives no answers, reads wait: {}", why);
  }

  private void runOut() {
    gaveUp = true;
    LOG.error(
        "the S3 store has given no answers for {} s, reads fail until it does: {}",
        lossTimeout.toSeconds(),
        why);
    giveUp.run();
  }

  private void stopTimers() {
    if (announcement != null) {
      announcement.cancel(false);
    }
    if (patience != null) {
      patience.cancel(false);
    }
  }

  /// Whether nobody waits any more: every request gets one chance.
  boolean gaveUp() {
    return gaveUp;
  }

  /// Whether somebody got an answer at or after this time on the loop's clock. From every thread.
  boolean answeredSince(long nanos) {
    Long last = answeredNanos;
    return last != null && last - nanos >= 0;
  }

  /// What is wrong for long enough to be told; null if nothing is. From every thread.
  @Nullable State state() {
    return state;
  }

  void close() {
    stopTimers();
  }
}
