package io.ublkbridge.cache;

import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicLong;

/// What the cache of one queue has done. Written by its event loop, read by anyone.
final class CacheCounters {
  /// What is counted.
  enum Count {
    /// Blocks that a request found in memory.
    HITS,
    /// Blocks that a request had to wait for.
    MISSES,
    /// Blocks that a request found already on their way.
    SHARED,
    /// Bytes that were read through the cache.
    BYTES_READ,
    /// READs that the target was asked for to fill blocks.
    FILLS,
    /// Bytes that the target gave for them.
    FILL_BYTES,
    /// Such READs that failed.
    FAILED_FILLS,
    /// Blocks that did not enter the cache since they were modified while on their way.
    STALE_FILLS,
    /// Blocks of long sequential reads that were not taken into the full cache.
    BYPASSED,
    /// READs that were passed to the target as they were.
    DIRECT_READS,
    /// READs that had to wait until fewer blocks were on their way.
    WAITED,
    /// Blocks that the tier had.
    TIER_HITS,
    /// Blocks that the tier did not have.
    TIER_MISSES,
    /// Blocks that were read ahead.
    AHEAD_ISSUED,
    /// Of these, blocks that were asked for.
    AHEAD_USED,
    /// Of these, blocks that were given up before anybody asked for them.
    AHEAD_WASTED,
    /// Blocks that the list of another run named.
    WARMED
  }

  private final Map<Count, AtomicLong> counts = new EnumMap<>(Count.class);

  CacheCounters() {
    for (Count count : Count.values()) {
      counts.put(count, new AtomicLong());
    }
  }

  /// One writer: a plain read and an ordered store are enough.
  void add(Count count, long amount) {
    AtomicLong counter = counter(count);
    counter.lazySet(counter.getPlain() + amount);
  }

  long of(Count count) {
    return counter(count).get();
  }

  private AtomicLong counter(Count count) {
    return Objects.requireNonNull(counts.get(count));
  }

  static long sum(List<CacheCounters> queues, Count count) {
    return queues.stream().mapToLong(queue -> queue.of(count)).sum();
  }
}
