package io.ublkbridge.cache;

/// What memory a cache has and for what, in blocks. All of it is allocated once, so that the sum is
/// a hard limit.
///
/// @param blockBytes a power of two
/// @param cachedBlocks for blocks in the cache
/// @param fillBlocks for blocks that requests wait for, over all queues
/// @param aheadBlocks for blocks that nobody has asked for yet, on their way or not, over all
///   queues
/// @param keptBlocks for blocks that the [BlockTier] is busy with
record CacheBudget(
    int blockBytes, int cachedBlocks, int fillBlocks, int aheadBlocks, int keptBlocks) {
  /// The fewest blocks that make a cache.
  static final int BLOCKS_MIN = 16;

  private static final int ON_THE_WAY_BLOCKS_MIN = 16;
  private static final int FILL_BYTES_MAX = 32 << 20;
  private static final int AHEAD_BYTES_MAX = 16 << 20;

  CacheBudget {
    if (cachedBlocks < 1 || fillBlocks < 1 || aheadBlocks < 1 || keptBlocks < 0) {
      throw new IllegalArgumentException(
          "no budget: %d cached, %d filled, %d ahead, %d kept"
              .formatted(cachedBlocks, fillBlocks, aheadBlocks, keptBlocks));
    }
  }

  /// The memory of a cache of `cacheBytes`, at least [#BLOCKS_MIN] blocks. What is on its way has a
  /// sixteenth of that besides: at least 32 blocks, at most 48 MiB.
  ///
  /// @param keptBlocks as a [BlockTier] says; at most a quarter of the cache is granted
  static CacheBudget of(long cacheBytes, int blockBytes, int keptBlocks) {
    int cached = Math.toIntExact(cacheBytes / blockBytes);
    return new CacheBudget(
        blockBytes,
        cached,
        onTheWay(cached, FILL_BYTES_MAX / blockBytes),
        onTheWay(cached, AHEAD_BYTES_MAX / blockBytes),
        Math.min(keptBlocks, cached / 4));
  }

  private static int onTheWay(int cached, int max) {
    return Math.min(Math.max(cached / 32, ON_THE_WAY_BLOCKS_MIN), max);
  }

  int totalBlocks() {
    return cachedBlocks + fillBlocks + aheadBlocks + keptBlocks;
  }

  long totalBytes() {
    return (long) totalBlocks() * blockBytes;
  }

  /// One queue's part of [#fillBlocks]. With more queues than blocks the parts are more than the
  /// whole; who then finds no frame asks the target without one.
  int fillBlocksOf(int queues) {
    return Math.max(1, fillBlocks / queues);
  }

  int aheadBlocksOf(int queues) {
    return aheadBlocks / queues;
  }
}
