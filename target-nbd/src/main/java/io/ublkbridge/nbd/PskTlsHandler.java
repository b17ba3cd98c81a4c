package io.ublkbridge.nbd;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelDuplexHandler;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelPromise;
import io.netty.handler.ssl.SslCloseCompletionEvent;
import io.netty.handler.ssl.SslHandshakeCompletionEvent;
import java.io.IOException;
import java.nio.channels.ClosedChannelException;
import java.util.concurrent.TimeUnit;
import org.bouncycastle.tls.TlsClientProtocol;
import org.jspecify.annotations.Nullable;

/// A channel's TLS session with a pre-shared key: BouncyCastle's protocol engine, fed with whole
/// records.
///
/// Tells how the handshake ended, and that the server took leave, by the same events as Netty's own
/// TLS handler. Confined to the channel's event loop.
@SuppressWarnings("FutureReturnValueIgnored") // A failed write or close ends in exceptionCaught.
final class PskTlsHandler extends ChannelDuplexHandler {
  private static final int HEADER_BYTES = 5;
  private static final int PLAINTEXT_BYTES = 16 << 10;

  /// A header, and the longest that it may announce in any version (RFC 5246, section 6.2.3).
  private static final int RECORD_BYTES_MAX = HEADER_BYTES + PLAINTEXT_BYTES + 2048;

  private static final long CLOSE_TIMEOUT_SECONDS = 3;

  private final PskTlsPeer peer;
  private final TlsClientProtocol protocol = new TlsClientProtocol();

  /// One record as it is received.
  private final byte[] record = new byte[RECORD_BYTES_MAX];

  private int recordBytes;

  /// How long the record is, as far as is known.
  private int recordNeeds = HEADER_BYTES;

  private final byte[] plaintext = new byte[PLAINTEXT_BYTES];

  private boolean announced;
  private boolean closing;

  PskTlsHandler(PskTlsPeer peer) {
    this.peer = peer;
  }

  @Override
  public void handlerAdded(ChannelHandlerContext context) throws IOException {
    protocol.connect(peer);
    send(context, null);
    context.flush();
  }

  /// What protects the records of the session that has just been agreed on.
  RecordKeys recordKeys() throws IOException {
    return peer.recordKeys();
  }

  @Override
  public void channelRead(ChannelHandlerContext context, Object message) {
    ByteBuf received = (ByteBuf) message;
    try {
      while (received.isReadable() && !protocol.isClosed()) {
        if (gather(received)) {
          protocol.offerInput(record, 0, recordBytes);
          recordBytes = 0;
          recordNeeds = HEADER_BYTES;
          announce(context);
          deliver(context);
        }
      }
    } catch (IOException | RuntimeException e) {
      fail(context, e);
      return;
    } finally {
      received.release();
    }
    // Answers to the server's handshake messages; mostly there are none.
    send(context, null);
    context.flush();
    if (protocol.isClosed() && !closing) {
      closing = true;
      context.fireUserEventTriggered(SslCloseCompletionEvent.SUCCESS);
    }
  }

  /// Adds to the record.
  ///
  /// @return whether it is complete
  private boolean gather(ByteBuf received) throws IOException {
    take(received);
    if (recordNeeds == HEADER_BYTES && recordBytes == HEADER_BYTES) {
      // Refuses what is no record of TLS, or too long, before more of it is waited for.
      recordNeeds = protocol.previewInputRecord(record).getRecordSize();
      take(received);
    }
    return recordNeeds > HEADER_BYTES && recordBytes == recordNeeds;
  }

  private void take(ByteBuf received) {
    int bytes = Math.min(recordNeeds - recordBytes, received.readableBytes());
    received.readBytes(record, recordBytes, bytes);
    recordBytes += bytes;
  }

  private void announce(ChannelHandlerContext context) {
    if (!announced && peer.complete()) {
      announced = true;
      send(context, null);
      context.fireUserEventTriggered(SslHandshakeCompletionEvent.SUCCESS);
    }
  }

  private void deliver(ChannelHandlerContext context) {
    while (protocol.getAvailableInputBytes() > 0) {
      int bytes = protocol.readInput(plaintext, 0, plaintext.length);
      context.fireChannelRead(context.alloc().directBuffer(bytes).writeBytes(plaintext, 0, bytes));
    }
  }

  /// Writes what the engine has to send, or with nothing to send only completes the promise.
  private void send(ChannelHandlerContext context, @Nullable ChannelPromise promise) {
    int bytes = protocol.getAvailableOutputBytes();
    if (bytes == 0 && promise == null) {
      return;
    }
    ByteBuf records = context.alloc().directBuffer(bytes);
    protocol.readOutput(records.internalNioBuffer(0, bytes), bytes);
    context.write(records.writerIndex(bytes), promise == null ? context.voidPromise() : promise);
  }

  @Override
  public void write(ChannelHandlerContext context, Object message, ChannelPromise promise) {
    ByteBuf data = (ByteBuf) message;
    try {
      while (data.isReadable()) {
        int bytes = Math.min(data.readableBytes(), plaintext.length);
        data.readBytes(plaintext, 0, bytes);
        protocol.writeApplicationData(plaintext, 0, bytes);
      }
    } catch (IOException | RuntimeException e) {
      promise.tryFailure(e);
      fail(context, e);
      return;
    } finally {
      data.release();
    }
    send(context, promise);
  }

  /// Sends the alert that the engine has prepared, if it could, and reports.
  private void fail(ChannelHandlerContext context, Throwable cause) {
    if (closing) {
      return;
    }
    closing = true;
    send(context, null);
    context.flush();
    if (announced) {
      context.fireExceptionCaught(cause);
    } else {
      announced = true;
      context.fireUserEventTriggered(new SslHandshakeCompletionEvent(cause));
    }
    context.close();
  }

  /// Says goodbye first, as long as that does not take too long.
  @Override
  public void close(ChannelHandlerContext context, ChannelPromise promise) throws IOException {
    if (closing || !context.channel().isActive()) {
      context.close(promise);
      return;
    }
    closing = true;
    protocol.close();
    ChannelPromise sent = context.newPromise();
    send(context, sent);
    context.flush();
    var late =
        context.executor().schedule(() -> context.close(), CLOSE_TIMEOUT_SECONDS, TimeUnit.SECONDS);
    sent.addListener(_ -> {
      late.cancel(false);
      context.close(promise);
    });
  }

  @Override
  public void channelInactive(ChannelHandlerContext context) {
    closing = true;
    if (!announced) {
      announced = true;
      context.fireUserEventTriggered(new SslHandshakeCompletionEvent(new ClosedChannelException()));
    }
    context.fireChannelInactive();
  }
}
