package io.ublkbridge.cache;

import java.util.concurrent.atomic.AtomicLongArray;

/// Counts the modifications of blocks, so that a fill that raced with one is known.
///
/// A fill remembers the generation of its block before it asks the target, and what it read enters
/// the cache only while that generation lasts. A modification ends the generation after the target
/// has accepted it and before its request completes. Check and entry happen under the block's lock,
/// and so does the end of a generation; thus nothing older than a completed modification can enter
/// after it.
///
/// Blocks share counters and locks by number: a modification may spoil the fill of an unrelated
/// block, which costs that fill its place in the cache and nothing else. Any thread.
final class Generations {
  /// How many counters there are.
  static final int STRIPES = 1024;

  private static final int LOCKS = 64;

  private final AtomicLongArray counts = new AtomicLongArray(STRIPES);
  private final Object[] locks = new Object[LOCKS];

  Generations() {
    for (int i = 0; i < LOCKS; i++) {
      locks[i] = new Object();
    }
  }

  long of(long block) {
    return counts.get((int) (block & (STRIPES - 1)));
  }

  /// What to hold between looking at [#of] and acting on it.
  Object lock(long block) {
    return locks[(int) (block & (LOCKS - 1))];
  }

  void end(long block) {
    synchronized (lock(block)) {
      counts.getAndIncrement((int) (block & (STRIPES - 1)));
    }
  }

  /// Ends the generations of all blocks.
  void endAll() {
    for (int stripe = 0; stripe < STRIPES; stripe++) {
      end(stripe);
    }
  }
}
