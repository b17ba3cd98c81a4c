package io.ublkbridge.cache;

/// How the memory of a cache is divided, in blocks. All of it is allocated once, so that the sum is
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

  private static final long FILL_BYTES_MAX = 32 << 20;
  private static final long AHEAD_BYTES_MAX = 16 << 20;

  CacheBudget {
    if (cachedBlocks < 1 || fillBlocks < 1 || aheadBlocks < 1 || keptBlocks < 0) {
      throw new IllegalArgumentException(
          "no budget: %d cached, %d filled, %d ahead, %d kept"
              .formatted(cachedBlocks, fillBlocks, aheadBlocks, keptBlocks));
    }
  }

  /// Divides `totalBytes`, at least [#BLOCKS_MIN] blocks: an eighth for fills, a sixteenth for
  /// readahead, but neither more than a fast remote can use; the rest is cache.
  ///
  /// @param keptBlocks as a [BlockTier] says, at most a quarter is granted
  static CacheBudget of(long totalBytes, int blockBytes, int keptBlocks) {
    int total = Math.toIntExact(totalBytes / blockBytes);
    int fill = (int) Math.min(total / 8, Math.max(1, FILL_BYTES_MAX / blockBytes));
    int ahead = (int) Math.min(total / 16, Math.max(1, AHEAD_BYTES_MAX / blockBytes));
    int kept = Math.min(keptBlocks, total / 4);
    return new CacheBudget(blockBytes, total - fill - ahead - kept, fill, ahead, kept);
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
