package io.ublkbridge.nbd;

import java.time.Duration;
import java.util.random.RandomGenerator;

/// How long to wait before each attempt to reconnect: 0, 0.1 s, 0.2 s … 5 s, each up to a quarter
/// shorter or longer, so that the clients of one server do not all come at once. Confined to one
/// event loop.
final class Backoff {
  private static final Duration MIN = Duration.ofMillis(100);
  private static final Duration MAX = Duration.ofSeconds(5);

  private final RandomGenerator random;
  private int attempts;
  private int flaps;

  Backoff(RandomGenerator random) {
    this.random = random;
  }

  /// A connection was lost.
  ///
  /// @param stable whether it had lasted; if not that is no sign that all was well, and the next
  ///   attempt waits longer
  void lost(boolean stable) {
    flaps = stable ? 0 : flaps + 1;
    attempts = flaps;
  }

  void connected() {
    attempts = 0;
  }

  /// The wait before the attempt that is made now.
  Duration next() {
    int made = attempts++;
    if (made == 0) {
      return Duration.ZERO;
    }
    long nanos = Math.min(MIN.toNanos() << Math.min(made - 1, 10), MAX.toNanos());
    return Duration.ofNanos(nanos - nanos / 4 + random.nextLong(nanos / 2));
  }
}
