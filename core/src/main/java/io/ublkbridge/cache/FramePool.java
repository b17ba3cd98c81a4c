package io.ublkbridge.cache;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/// All of the cache's memory: one allocation, cut into frames of one block each.
///
/// The arena fills it with zeroes, so that all of it is resident from the start: a server whose
/// disk is needed to free memory must not need memory itself then.
///
/// Any thread may take and give. The free frames are a stack without locks: an index into `frames`,
/// and a count of its changes against the same head coming back in between.
final class FramePool implements AutoCloseable {
  private static final int EMPTY = -1;
  private static final int ALIGNMENT_BYTES = 4096;

  private final Arena arena = Arena.ofShared();
  private final BlockBuffer[] frames;
  private final AtomicIntegerArray below;
  private final AtomicLong head = new AtomicLong(EMPTY & 0xffffffffL);
  private final AtomicLong freeCount = new AtomicLong();

  /// Allocates the memory.
  ///
  /// @throws OutOfMemoryError if it cannot be had; nothing is left behind then
  FramePool(int frameCount, int frameBytes) {
    frames = new BlockBuffer[frameCount];
    below = new AtomicIntegerArray(frameCount);
    MemorySegment slab;
    try {
      slab = arena.allocate((long) frameCount * frameBytes, ALIGNMENT_BYTES);
    } catch (OutOfMemoryError e) {
      arena.close();
      throw e;
    }
    for (int i = frameCount - 1; i >= 0; i--) {
      frames[i] = new BlockBuffer(this, i, slab.asSlice((long) i * frameBytes, frameBytes));
      give(frames[i]);
    }
  }

  int count() {
    return frames.length;
  }

  long freeCount() {
    return freeCount.get();
  }

  /// A frame with one reference, or null if none is free.
  @Nullable BlockBuffer take() {
    while (true) {
      long seen = head.get();
      int top = (int) seen;
      if (top == EMPTY) {
        return null;
      }
      if (head.compareAndSet(seen, changed(seen, below.get(top)))) {
        freeCount.getAndDecrement();
        BlockBuffer frame = frames[top];
        frame.taken();
        return frame;
      }
    }
  }

  /// Takes a frame back from its last user.
  void give(BlockBuffer frame) {
    long seen;
    do {
      seen = head.get();
      below.set(frame.index(), (int) seen);
    } while (!head.compareAndSet(seen, changed(seen, frame.index())));
    freeCount.getAndIncrement();
  }

  private static long changed(long seen, int top) {
    return ((seen >>> 32) + 1) << 32 | (top & 0xffffffffL);
  }

  /// Frees the memory; only after the last use of any frame.
  @Override
  public void close() {
    if (arena.scope().isAlive()) {
      arena.close();
    }
  }
}
