package io.ublkbridge.kernel;

import java.lang.foreign.Arena;
import java.util.ArrayDeque;

/// A queue's memory for transfers: by size, powers of two from 4 KiB on, made when first needed and
/// kept until the queue is closed.
///
/// At most `depth` buffers of a size are out at once, which bounds the whole: twice depth × longest
/// request. Taking and giving are confined to the queue's event loop. A new buffer is zeroed, which
/// also makes the kernel back it with memory before the first transfer.
public final class BufferPool implements AutoCloseable {
  private static final int SMALLEST_SHIFT = 12;
  private static final long ALIGNMENT = 4096;

  private final Arena arena = Arena.ofShared();
  private final ArrayDeque<IoBuffer>[] free;

  /// @param maxBytes the longest transfer
  @SuppressWarnings("unchecked") // Arrays know no type parameters.
  public BufferPool(int depth, int maxBytes) {
    free = (ArrayDeque<IoBuffer>[]) new ArrayDeque<?>[sizeClass(maxBytes) + 1];
    for (int i = 0; i < free.length; i++) {
      free[i] = new ArrayDeque<>(depth);
    }
  }

  /// A buffer of at least `lengthBytes`, with anything in it.
  ///
  /// @throws OutOfMemoryError if there is no memory for it
  public IoBuffer take(long lengthBytes) {
    int sizeClass = sizeClass(lengthBytes);
    IoBuffer buffer = free[sizeClass].pollLast();
    if (buffer != null) {
      return buffer;
    }
    return new IoBuffer(arena.allocate(1L << (sizeClass + SMALLEST_SHIFT), ALIGNMENT));
  }

  public void give(IoBuffer buffer) {
    free[sizeClass(buffer.byteSize())].addLast(buffer);
  }

  /// Frees all memory. On a control thread, once no transfer is under way.
  @Override
  public void close() {
    arena.close();
  }

  private static int sizeClass(long lengthBytes) {
    int shift = Long.SIZE - Long.numberOfLeadingZeros(lengthBytes - 1);
    return Math.max(SMALLEST_SHIFT, shift) - SMALLEST_SHIFT;
  }
}
