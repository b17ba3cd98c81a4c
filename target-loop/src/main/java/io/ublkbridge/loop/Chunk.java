package io.ublkbridge.loop;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.atomic.AtomicInteger;

/// One piece of a RAM disk that was written to: memory, and the count of who keeps it from being
/// freed.
///
/// Any thread may call. The table that holds the chunk counts as one; whoever reads or writes
/// [#memory] is another for that time, between [#pin] and [#unpin]. The last one to let go frees
/// the memory, so that a chunk is never freed under a reader in another loop.
final class Chunk {
  static final int SHIFT = 20;
  static final long BYTES = 1L << SHIFT;

  private final Arena arena = Arena.ofShared();
  private final MemorySegment memory;
  private final AtomicInteger pins = new AtomicInteger(1);

  /// Zeroes, counted once for its creator.
  ///
  /// @throws OutOfMemoryError if the machine has no memory for it
  Chunk() {
    try {
      memory = arena.allocate(BYTES, 4096);
    } catch (Throwable e) {
      arena.close();
      throw e;
    }
  }

  /// Only between [#pin] and [#unpin].
  MemorySegment memory() {
    return memory;
  }

  /// Keeps the memory from being freed.
  ///
  /// @return whether that was in time; if not, the chunk has left its table, and is gone
  boolean pin() {
    for (; ; ) {
      int count = pins.get();
      if (count == 0) {
        return false;
      }
      if (pins.compareAndSet(count, count + 1)) {
        return true;
      }
    }
  }

  void unpin() {
    int left = pins.decrementAndGet();
    assert left >= 0 : "unpinned more often than pinned";
    if (left == 0) {
      arena.close();
    }
  }
}
