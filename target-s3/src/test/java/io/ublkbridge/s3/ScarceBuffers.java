package io.ublkbridge.s3;

import io.netty.buffer.AbstractByteBufAllocator;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.UnpooledByteBufAllocator;

/// Buffers that are not to be had when a test says so.
final class ScarceBuffers extends AbstractByteBufAllocator {
  private final UnpooledByteBufAllocator buffers = new UnpooledByteBufAllocator(true);
  private int left = Integer.MAX_VALUE;

  /// From now on so many buffers can be had, and no more.
  void leave(int count) {
    left = count;
  }

  /// There is memory again.
  void replenish() {
    left = Integer.MAX_VALUE;
  }

  /// What is not released.
  long usedBytes() {
    return buffers.metric().usedDirectMemory();
  }

  @Override
  protected ByteBuf newDirectBuffer(int initialCapacity, int maxCapacity) {
    if (left == 0) {
      throw new OutOfMemoryError("scripted");
    }
    left--;
    return buffers.directBuffer(initialCapacity, maxCapacity);
  }

  @Override
  protected ByteBuf newHeapBuffer(int initialCapacity, int maxCapacity) {
    return buffers.heapBuffer(initialCapacity, maxCapacity);
  }

  @Override
  public boolean isDirectBufferPooled() {
    return false;
  }
}
