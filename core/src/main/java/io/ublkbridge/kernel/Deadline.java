package io.ublkbridge.kernel;

import java.time.Duration;
import java.util.concurrent.locks.LockSupport;

/// A point in time until which to wait for something that can only be asked for again and again.
/// For control threads; event loops never wait.
public final class Deadline {
  private static final long PAUSE_NANOS = 10_000_000;

  private final long endNanos;

  private Deadline(long endNanos) {
    this.endNanos = endNanos;
  }

  public static Deadline after(Duration duration) {
    return new Deadline(System.nanoTime() + duration.toNanos());
  }

  public Duration remaining() {
    return Duration.ofNanos(Math.max(0, endNanos - System.nanoTime()));
  }

  /// Waits a moment.
  ///
  /// @return false if the time is over
  public boolean pause() {
    if (endNanos - System.nanoTime() <= 0) {
      return false;
    }
    LockSupport.parkNanos(PAUSE_NANOS);
    return !Thread.currentThread().isInterrupted();
  }
}
