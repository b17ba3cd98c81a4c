package io.ublkbridge.kernel;

import java.lang.foreign.MemorySegment;

/// Memory for one transfer, aligned to a page, from a [BufferPool]. Confined to the queue's event
/// loop.
public final class IoBuffer {
  private final MemorySegment memory;
  private MemorySegment view;

  IoBuffer(MemorySegment memory) {
    this.memory = memory;
    this.view = memory;
  }

  long byteSize() {
    return memory.byteSize();
  }

  /// The first `lengthBytes`. The same as last time is the same object, so that requests of one
  /// size allocate nothing.
  public MemorySegment view(long lengthBytes) {
    if (view.byteSize() != lengthBytes) {
      view = memory.asSlice(0, lengthBytes);
    }
    return view;
  }
}
