package io.ublkbridge.cache;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import com.github.benmanes.caffeine.cache.RemovalCause;
import java.util.concurrent.atomic.LongAdder;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// The blocks of one device that are in memory, and the memory itself; shared by its queues.
///
/// Any thread, without waiting but for the short work of another thread on the same structure.
/// Which block stays is Caffeine's decision (W-TinyLFU), made on the caller's thread, so that a
/// frame is back in the pool when the call that evicted its block returns.
final class BlockCache implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(BlockCache.class);

  private final CacheBudget budget;
  private final FramePool pool;
  private final Cache<BlockKey, BlockBuffer> blocks;
  private final Generations generations = new Generations();
  private final LongAdder evictions = new LongAdder();

  /// Allocates all of the memory.
  ///
  /// @throws OutOfMemoryError if it cannot be had
  BlockCache(CacheBudget budget) {
    this.budget = budget;
    this.pool = new FramePool(budget.totalBlocks(), budget.blockBytes());
    this.blocks =
        Caffeine.newBuilder()
            // Its counts of uses are of the final size from the start: they are lost when they
            // grow.
            .initialCapacity(budget.cachedBlocks())
            .maximumWeight((long) budget.cachedBlocks() * budget.blockBytes())
            .weigher((BlockKey _, BlockBuffer _) -> budget.blockBytes())
            .executor(Runnable::run)
            .removalListener(this::removed)
            .build();
  }

  private void removed(@Nullable BlockKey key, @Nullable BlockBuffer buffer, RemovalCause cause) {
    if (cause == RemovalCause.SIZE) {
      evictions.increment();
    }
    if (buffer != null) {
      buffer.release();
    }
  }

  CacheBudget budget() {
    return budget;
  }

  /// The block's frame with a reference for the caller, or null if it is not here.
  @Nullable BlockBuffer retained(BlockKey key) {
    BlockBuffer buffer = blocks.getIfPresent(key);
    return buffer != null && buffer.retainIfHolding(key.block()) ? buffer : null;
  }

  /// Whether the block is here; does not count as a use of it.
  boolean holds(BlockKey key) {
    return blocks.asMap().containsKey(key);
  }

  /// Whether another block could enter without driving one out.
  boolean hasRoom() {
    return blocks.estimatedSize() < budget.cachedBlocks();
  }

  /// A free frame with one reference, or null if there is none.
  @Nullable BlockBuffer takeFrame() {
    BlockBuffer frame = pool.take();
    if (frame == null) {
      // Another thread's entries may be waiting for their evictions.
      blocks.cleanUp();
      frame = pool.take();
    }
    return frame;
  }

  /// The generation of a block; to be asked for before the target is asked for the block.
  long generation(long block) {
    return generations.of(block);
  }

  /// Lets a filled block in, unless it was modified since `generation`. The caller keeps its own
  /// reference to the frame.
  ///
  /// @return false if the bytes are out of date
  boolean land(long block, BlockBuffer filled, long generation) {
    synchronized (generations.lock(block)) {
      if (generations.of(block) != generation) {
        return false;
      }
      filled.retain();
      if (blocks.asMap().putIfAbsent(new BlockKey(block), filled) != null) {
        // Another queue filled it too, from the same generation.
        filled.release();
      }
      return true;
    }
  }

  /// The target has accepted a modification of these blocks, or may have: what is here of them, or
  /// on its way, is out of date. To be called before the modifying request ends.
  void modified(long first, long last, BlockKey key) {
    long count = last - first + 1;
    if (count > Generations.STRIPES) {
      generations.endAll();
    } else {
      for (long block = first; block <= last; block++) {
        generations.end(block);
      }
    }
    if (count > budget.cachedBlocks()) {
      blocks.asMap().keySet().removeIf(each -> each.block() >= first && each.block() <= last);
      return;
    }
    for (long block = first; block <= last; block++) {
      blocks.invalidate(key.at(block));
    }
  }

  long blockCount() {
    return blocks.estimatedSize();
  }

  long evictions() {
    return evictions.sum();
  }

  /// Frames that nobody uses.
  long freeFrames() {
    return pool.freeCount();
  }

  /// Frees the memory, after the last request has ended.
  @Override
  public void close() {
    blocks.invalidateAll();
    blocks.cleanUp();
    if (pool.freeCount() == pool.count()) {
      pool.close();
    } else {
      // Freed memory that somebody still writes to would be worse than memory that stays.
      log.warn("{} cached blocks are still in use", pool.count() - pool.freeCount());
    }
  }
}
