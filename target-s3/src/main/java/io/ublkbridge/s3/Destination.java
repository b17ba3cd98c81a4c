package io.ublkbridge.s3;

import java.lang.foreign.MemorySegment;

/// Where the bytes of a range go, piece by piece as they arrive; when a GET is sent again, the same
/// pieces may come again. Confined to the event loop.
interface Destination {
  /// How long the range is.
  long lengthBytes();

  /// Takes bytes `at` to `at + from.byteSize()` of the range.
  ///
  /// @param from on the heap or off it; only until this returns
  void put(long at, MemorySegment from);

  /// Memory that is as long as the range.
  static Destination of(MemorySegment memory) {
    return new Destination() {
      @Override
      public long lengthBytes() {
        return memory.byteSize();
      }

      @Override
      public void put(long at, MemorySegment from) {
        MemorySegment.copy(from, 0, memory, at, from.byteSize());
      }
    };
  }
}
