package io.ublkbridge.nbd;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;
import io.netty.buffer.Unpooled;
import java.lang.foreign.MemorySegment;

/// The one buffer that everything on a connection is received into.
///
/// There is only one receive at a time, and the pipeline is done with the bytes when its
/// `channelRead` returns, so the same buffer serves again and again. A TLS handler may keep the
/// bytes of an unfinished record: then the next receive gets another buffer.
///
/// Confined to the channel's event loop. Lives until [#release], and then until a receive under way
/// has ended.
final class ReceiveBuffer {
  static final int BUFFER_BYTES = 256 << 10;

  private final ByteBuf buffer = Unpooled.directBuffer(BUFFER_BYTES, BUFFER_BYTES);
  private final MemorySegment memory = MemorySegment.ofBuffer(buffer.nioBuffer(0, BUFFER_BYTES));

  /// The memory behind `received`, whose bytes have the same indexes in it. Costs nothing for what
  /// came straight from the socket, and two small objects for what was decrypted.
  MemorySegment memoryOf(ByteBuf received) {
    if (received.hasMemoryAddress() && received.memoryAddress() == buffer.memoryAddress()) {
      return memory;
    }
    assert received.isDirect() : "the kernel cannot read from the heap";
    return MemorySegment.ofBuffer(received.nioBuffer(0, received.writerIndex()));
  }

  /// A buffer to receive into, with a reference that belongs to the caller.
  ByteBuf take(ByteBufAllocator allocator) {
    return buffer.refCnt() == 1 ? buffer.retain().clear() : allocator.directBuffer(BUFFER_BYTES);
  }

  void release() {
    buffer.release();
  }
}
