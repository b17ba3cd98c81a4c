package io.ublkbridge.nbd;

import io.netty.buffer.ByteBuf;
import java.lang.foreign.MemorySegment;

/// A buffer to encode requests into, with its memory as a segment; reused once Netty has let go of
/// it. Confined to one event loop.
final class SendBuffer {
  private final ByteBuf buffer;
  private final MemorySegment memory;
  private int end;

  /// @param buffer direct; this owns one reference
  SendBuffer(ByteBuf buffer) {
    this.buffer = buffer;
    this.memory = MemorySegment.ofBuffer(buffer.nioBuffer(0, buffer.capacity()));
  }

  MemorySegment memory() {
    return memory;
  }

  /// Where the next byte goes.
  int end() {
    return end;
  }

  void advance(int bytes) {
    end += bytes;
  }

  int writableBytes() {
    return buffer.capacity() - end;
  }

  boolean isEmpty() {
    return end == 0;
  }

  /// Whether nobody else reads it any more.
  boolean isIdle() {
    return buffer.refCnt() == 1;
  }

  void clear() {
    end = 0;
  }

  /// What was encoded, with a reference of its own for the receiver.
  ByteBuf share() {
    return buffer.retain().setIndex(0, end);
  }

  void release() {
    buffer.release();
  }
}
