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
/// it can be given the same buffer again and again.
///
/// Confined to the channel's event loop. Lives until [#release], and then until a receive under way
/// has ended.
final class ReceiveBuffer extends DefaultMaxMessagesRecvByteBufAllocator {
  static final int BUFFER_BYTES = 256 << 10;

  private final ByteBuf buffer = Unpooled.directBuffer(BUFFER_BYTES, BUFFER_BYTES);
  private final MemorySegment memory = MemorySegment.ofBuffer(buffer.nioBuffer(0, BUFFER_BYTES));

  private int receives;

  /// The memory behind `received`, which came from this allocator.
  MemorySegment memoryOf(ByteBuf received) {
    assert received.memoryAddress() == buffer.memoryAddress() : "received into a foreign buffer";
    return memory;
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
      return buffer.retain().clear();
    }
  }
}
