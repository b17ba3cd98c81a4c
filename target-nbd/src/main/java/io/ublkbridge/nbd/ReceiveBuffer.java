package io.ublkbridge.nbd;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;
import io.netty.buffer.Unpooled;
import io.netty.channel.DefaultMaxMessagesRecvByteBufAllocator;
import java.lang.foreign.MemorySegment;

/// The one buffer that everything on a connection is received into.
///
/// Netty asks for a buffer before each receive and hands it to the pipeline after; as there is only
/// one receive at a time, and the pipeline is done with the bytes when its `channelRead` returns,
/// it can be given the same buffer again and again. A TLS handler may keep the bytes of an
/// unfinished record: then the next receive gets another buffer.
///
/// Confined to the channel's event loop. Lives until [#release], and then until a receive under way
/// has ended.
final class ReceiveBuffer extends DefaultMaxMessagesRecvByteBufAllocator {
  static final int BUFFER_BYTES = 256 << 10;

  private final ByteBuf buffer = Unpooled.directBuffer(BUFFER_BYTES, BUFFER_BYTES);
  private final MemorySegment memory = MemorySegment.ofBuffer(buffer.nioBuffer(0, BUFFER_BYTES));

  private int receives;

  /// The memory behind `received`, whose bytes have the same indexes in it. Costs nothing for what
  /// came straight from the socket, and two small objects for what was decrypted.
  MemorySegment memoryOf(ByteBuf received) {
    if (received.hasMemoryAddress() && received.memoryAddress() == buffer.memoryAddress()) {
      return memory;
    }
    assert received.isDirect() : "the kernel cannot read from the heap";
    return MemorySegment.ofBuffer(received.nioBuffer(0, received.writerIndex()));
  }

  /// How many receives were begun.
  int receives() {
    return receives;
  }

  void release() {
    buffer.release();
  }

  @Override
  public MaxMessageHandle newHandle() {
    return new SameBuffer();
  }

  private final class SameBuffer extends MaxMessageHandle {
    @Override
    public int guess() {
      return BUFFER_BYTES;
    }

    @Override
    public ByteBuf allocate(ByteBufAllocator allocator) {
      receives++;
      return buffer.refCnt() == 1 ? buffer.retain().clear() : allocator.directBuffer(BUFFER_BYTES);
    }
  }
}
