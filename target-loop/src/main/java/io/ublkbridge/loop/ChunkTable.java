package io.ublkbridge.loop;

import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.jspecify.annotations.Nullable;

/// Which chunks of a RAM disk exist, by index: two levels, of which the lower comes with the first
/// write near it, so that a large empty disk costs next to nothing.
///
/// Any thread may call, all at once.
final class ChunkTable implements AutoCloseable {
  private static final int LEAF_SHIFT = 15;
  private static final int LEAF_LENGTH = 1 << LEAF_SHIFT;

  private final AtomicReferenceArray<@Nullable AtomicReferenceArray<@Nullable Chunk>> leaves;
  private final AtomicLong chunkCount = new AtomicLong();

  ChunkTable(long sizeBytes) {
    long chunks = (sizeBytes + Chunk.BYTES - 1) >>> Chunk.SHIFT;
    leaves = new AtomicReferenceArray<>(Math.toIntExact((chunks + LEAF_LENGTH - 1) >>> LEAF_SHIFT));
  }

  /// The chunk, pinned for the caller; null if there is none.
  @Nullable Chunk pinned(long index) {
    AtomicReferenceArray<@Nullable Chunk> leaf = leaves.get((int) (index >>> LEAF_SHIFT));
    if (leaf == null) {
      return null;
    }
    for (; ; ) {
      Chunk chunk = leaf.get(slot(index));
      // A chunk that cannot be pinned has just left the table: look again.
      if (chunk == null || chunk.pin()) {
        return chunk;
      }
    }
  }

  /// The chunk, pinned for the caller; made of zeroes if there is none.
  ///
  /// @throws OutOfMemoryError if there is no memory for it
  Chunk pinnedOrNew(long index) {
    for (; ; ) {
      Chunk chunk = pinned(index);
      if (chunk != null) {
        return chunk;
      }
      Chunk made = new Chunk();
      if (leafOrNew(index).compareAndSet(slot(index), null, made)) {
        chunkCount.incrementAndGet();
      } else {
        made.unpin();
      }
    }
  }

  /// Takes the chunk out, if there is one: its range reads as zeroes from now on. Its memory is
  /// freed once the last pin is gone.
  void drop(long index) {
    AtomicReferenceArray<@Nullable Chunk> leaf = leaves.get((int) (index >>> LEAF_SHIFT));
    if (leaf == null) {
      return;
    }
    Chunk chunk = leaf.getAndSet(slot(index), null);
    if (chunk != null) {
      chunkCount.decrementAndGet();
      chunk.unpin();
    }
  }

  long allocatedBytes() {
    return chunkCount.get() << Chunk.SHIFT;
  }

  @Override
  public void close() {
    for (int i = 0; i < leaves.length(); i++) {
      if (leaves.get(i) != null) {
        for (int j = 0; j < LEAF_LENGTH; j++) {
          drop(((long) i << LEAF_SHIFT) + j);
        }
      }
    }
  }

  private AtomicReferenceArray<@Nullable Chunk> leafOrNew(long index) {
    int at = (int) (index >>> LEAF_SHIFT);
    AtomicReferenceArray<@Nullable Chunk> leaf = leaves.get(at);
    if (leaf != null) {
      return leaf;
    }
    AtomicReferenceArray<@Nullable Chunk> made = new AtomicReferenceArray<>(LEAF_LENGTH);
    AtomicReferenceArray<@Nullable Chunk> other = leaves.compareAndExchange(at, null, made);
    return other == null ? made : other;
  }

  private static int slot(long index) {
    return (int) (index & (LEAF_LENGTH - 1));
  }
}
