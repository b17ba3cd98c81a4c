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

  private static final int FILL_BYTES_MAX = 32 << 20;
  private static final int AHEAD_BYTES_MAX = 32 << 20;

  /// What is on its way is more than its part only where that would be hardly anything, and then at
  /// most an eighth.
  private static final int ON_THE_WAY_BLOCKS_MIN = 16;

  CacheBudget {
    if (cachedBlocks < 1 || fillBlocks < 1 || aheadBlocks < 1 || keptBlocks < 0) {
      throw new IllegalArgumentException(
          "no budget: %d cached, %d filled, %d ahead, %d kept"
              .formatted(cachedBlocks, fillBlocks, aheadBlocks, keptBlocks));
    }
  }

  /// The memory of a cache that takes `cacheBytes` in all, at least [#BLOCKS_MIN] blocks: a
  /// thirty-second for what requests wait for, a sixteenth for what is read ahead, the rest for
  /// what is cached.
  ///
  /// @param keptBlocks as a [BlockTier] says; at most an eighth of the cache is granted
  static CacheBudget of(long cacheBytes, int blockBytes, int keptBlocks) {
    int total = Math.toIntExact(cacheBytes / blockBytes);
    int fill = part(total, 32, FILL_BYTES_MAX / blockBytes);
    int ahead = part(total, 16, AHEAD_BYTES_MAX / blockBytes);
    int kept = Math.min(keptBlocks, total / 8);
    return new CacheBudget(blockBytes, total - fill - ahead - kept, fill, ahead, kept);
  }

  private static int part(int total, int divisor, int max) {
    return Math.min(max, Math.max(total / divisor, Math.min(total / 8, ON_THE_WAY_BLOCKS_MIN)));
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
