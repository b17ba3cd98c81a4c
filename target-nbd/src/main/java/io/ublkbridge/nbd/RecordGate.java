package io.ublkbridge.nbd;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.ByteToMessageDecoder;
import java.util.List;

/// Lets TLS records through one by one, so that it is known how many the handshake has taken.
/// Leaves what is no record to the TLS handler behind it, which has words for that.
///
/// Confined to the channel's event loop.
final class RecordGate extends ByteToMessageDecoder {
  private static final int HEADER_BYTES = 5;

  /// RFC 8446, section 5.2.
  private static final int CIPHERTEXT_BYTES_MAX = (16 << 10) + 256;

  private static final int TYPE_MIN = 20;
  private static final int TYPE_MAX = 24;

  /// What is told of each record that the TLS handler has taken.
  interface Taken {
    /// Called after the handler has returned.
    ///
    /// @param more whether bytes behind it were received already
    void taken(boolean more);
  }

  private final Taken listener;

  RecordGate(Taken listener) {
    this.listener = listener;
  }

  @Override
  protected void decode(ChannelHandlerContext context, ByteBuf in, List<Object> out) {
    int readable = in.readableBytes();
    if (readable < HEADER_BYTES) {
      return;
    }
    int type = in.getUnsignedByte(in.readerIndex());
    int length = in.getUnsignedShort(in.readerIndex() + 3);
    int bytes = HEADER_BYTES + length;
    if (type < TYPE_MIN || type > TYPE_MAX || length > CIPHERTEXT_BYTES_MAX) {
      bytes = readable;
    }
    if (readable < bytes) {
      return;
    }
    context.fireChannelRead(in.readRetainedSlice(bytes));
    listener.taken(in.isReadable());
  }
}
