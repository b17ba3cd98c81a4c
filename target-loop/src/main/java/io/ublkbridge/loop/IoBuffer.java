package io.ublkbridge.loop;

import java.lang.foreign.MemorySegment;

/// Memory for one transfer, aligned to a page. Confined to the queue's event loop.
final class IoBuffer {
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
  MemorySegment view(long lengthBytes) {
    if (view.byteSize() != lengthBytes) {
      view = memory.asSlice(0, lengthBytes);
    }
    return view;
  }
}
