package io.ublkbridge.nbd;

import java.time.Duration;

/// What a queue, and the [Reconnector], need of an event loop. The real one is [UringQueueLoop];
/// the simulation's takes its steps in an order that a seed decides.
///
/// All methods may be called from every thread. What one thread hands over runs in that order.
interface QueueLoop {
  void execute(Runnable action);

  /// Runs `action` on the loop after a while. It cannot be called off: it must look whether it is
  /// still wanted.
  void after(Duration delay, Runnable action);

  /// The loop's clock.
  long nanoTime();

  /// Makes a [TurnEnd] that runs `action` on the loop.
  TurnEnd turnEnd(Runnable action);
}
