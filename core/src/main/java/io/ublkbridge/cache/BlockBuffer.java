package io.ublkbridge.cache;

import java.lang.foreign.MemorySegment;
import java.util.concurrent.atomic.AtomicInteger;

/// One frame of the cache's memory, with room for one block, and the count of those who use it.
///
/// A frame is free at count 0. Whoever takes it from the [FramePool] holds the first reference; the
/// cache holds one for a block in it, and every reader one while it copies. The last to let go
/// gives the frame back, on whatever thread that is.
///
/// The object is reused with its frame. A reader that found it through the cache may hold it only
/// after another block has moved in: [#retainIfHolding] tells.
final class BlockBuffer {
  /// No block: free, or being filled.
  private static final long NOTHING = -1;

  private final FramePool pool;
  private final int index;
  private final MemorySegment memory;
  private final AtomicInteger references = new AtomicInteger();
  private volatile long block = NOTHING;

  BlockBuffer(FramePool pool, int index, MemorySegment memory) {
    this.pool = pool;
    this.index = index;
    this.memory = memory;
  }

  int index() {
    return index;
  }

  /// The frame, a whole block long and aligned to 4096 bytes.
  MemorySegment memory() {
    return memory;
  }

  /// The frame leaves the pool: its taker has the only reference.
  void taken() {
    if (!references.compareAndSet(0, 1)) {
      throw new IllegalStateException(this + " was taken although it is in use");
    }
  }

  /// The frame holds all of a block from now on, and is not written to until it is free again.
  void filledWith(long number) {
    block = number;
  }

  /// Takes one more reference; only for those who have one already.
  void retain() {
    if (references.getAndIncrement() <= 0) {
      throw new IllegalStateException(this + " was retained although it is free");
    }
  }

  /// Takes a reference if the frame still holds this block.
  boolean retainIfHolding(long number) {
    int count = references.get();
    while (count > 0) {
      if (references.compareAndSet(count, count + 1)) {
        if (block == number) {
          return true;
        }
        // Another block has moved in since the cache gave this object away.
        release();
        return false;
      }
      count = references.get();
    }
    return false;
  }

  /// Gives a reference back; the last one frees the frame.
  void release() {
    int left = references.decrementAndGet();
    if (left == 0) {
      block = NOTHING;
      pool.give(this);
    } else if (left < 0) {
      throw new IllegalStateException(this + " was released too often");
    }
  }

  @Override
  public String toString() {
    return "frame " + index + " (block " + block + ", " + references + " references)";
  }
}
