package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_DISC;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_WRITE;

import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelException;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoop;
import io.netty.channel.socket.SocketChannel;
import io.netty.handler.ssl.SslCloseCompletionEvent;
import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.IoError;
import java.io.IOException;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// One connection in the transmission phase, and the last handler of its channel: the only one, or
/// with one for TLS in front.
///
/// Ends for good when the server closes it, breaks the protocol, or leaves a request unanswered for
/// too long: then every request under way fails with [IoError#UNREACHABLE], and so does every later
/// one. What the server has not answered may or may not have happened; the requester is told so by
/// that error, and the socket is reset, so that requests still in its buffers are not executed
/// late.
///
/// Confined to the channel's event loop, except [#close] and [#isOpen].
@SuppressWarnings("FutureReturnValueIgnored") // A failed write or close ends in exceptionCaught.
final class NbdConnection extends ChannelInboundHandlerAdapter {
  private static final Logger LOG = LoggerFactory.getLogger(NbdConnection.class);
  private static final long CLOSE_TIMEOUT_SECONDS = 5;

  private final Channel channel;
  private final String server;
  private final Negotiated negotiated;
  private final ReceiveBuffer receiveBuffer;
  private final CookieTable commands = new CookieTable();
  private final RequestEncoder encoder;
  private final ReplyDecoder decoder;

  /// What else must know when this connection is lost.
  private @Nullable Consumer<IOException> lossListener;

  /// Why this connection is no more.
  private @Nullable IOException loss;

  private boolean disconnecting;

  /// Counts the calls of [#tick]: a clock that costs a request no system call.
  private int ticks;

  /// @param server where it leads, for messages
  NbdConnection(
      Channel channel, String server, Negotiated negotiated, ReceiveBuffer receiveBuffer) {
    this.channel = channel;
    this.server = server;
    this.negotiated = negotiated;
    this.receiveBuffer = receiveBuffer;
    this.encoder = new RequestEncoder(channel);
    this.decoder =
        new ReplyDecoder(commands, new ServerErrors(server), negotiated.info().structuredReplies());
  }

  Negotiated negotiated() {
    return negotiated;
  }

  /// What was agreed on about TLS; null if the connection is plain. Callable from every thread.
  @Nullable TlsFacts tls() {
    return TlsFacts.of(channel);
  }

  /// Whether it was neither closed nor lost. Callable from every thread.
  boolean isOpen() {
    return channel.isActive();
  }

  /// Whether it lives on this loop. Callable from every thread.
  boolean isOn(EventLoop loop) {
    return channel.eventLoop().equals(loop);
  }

  /// Has `listener` told when this is lost, at once if that has happened already.
  void onLoss(Consumer<IOException> listener) {
    lossListener = listener;
    if (loss != null) {
      listener.accept(loss);
    }
  }

  int inFlight() {
    return commands.inFlight();
  }

  /// Starts a request; it leaves with the next [#flush].
  ///
  /// @param type the command, one of the spec's `NBD_CMD_*`
  /// @param flags its command flags
  /// @throws io.ublkbridge.target.PayloadException if the request's payload cannot be had
  void start(BlockRequest request, int type, int flags) {
    if (loss != null) {
      request.fail(IoError.UNREACHABLE, loss);
      return;
    }
    PendingCommand command = commands.start(request, type, ticks);
    if (command == null) {
      request.fail(IoError.IO, null);
      return;
    }
    if (type != NBD_CMD_WRITE) {
      encoder.add(
          flags, type, command.cookie(), command.offsetBytes(), (int) request.lengthBytes());
      return;
    }
    boolean encoded = false;
    try {
      encoder.addWrite(flags, command.cookie(), request);
      encoded = true;
    } finally {
      if (!encoded) {
        commands.end(command);
      }
    }
  }

  /// Sends what was started.
  void flush() {
    if (loss == null) {
      encoder.flush();
    }
  }

  /// One more tick of the deadline watch: a request that saw `ticksMax` of them is overdue.
  void tick(int ticksMax) {
    ticks++;
    if (loss == null && commands.oldestAge(ticks) > ticksMax) {
      lose("did not answer a request before its deadline", null);
    }
  }

  @Override
  public void channelRead(ChannelHandlerContext context, Object message) {
    ByteBuf received = (ByteBuf) message;
    try {
      if (loss == null) {
        decoder.decode(
            receiveBuffer.memoryOf(received), received.readerIndex(), received.writerIndex());
      }
    } catch (ProtocolViolation violation) {
      lose("broke the protocol: it " + violation.getMessage(), violation);
    } finally {
      received.release();
    }
  }

  /// The server may say goodbye inside TLS and leave the socket open.
  @Override
  public void userEventTriggered(ChannelHandlerContext context, Object event) {
    if (event instanceof SslCloseCompletionEvent close && close.isSuccess()) {
      lose("closed the connection", null);
    }
  }

  @Override
  public void channelInactive(ChannelHandlerContext context) {
    lose("closed the connection", null);
  }

  @Override
  public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
    lose("cannot be reached any more: " + cause.getMessage(), cause);
  }

  /// Ends the connection from this side, because it is of no use without its siblings.
  void abandon(IOException why) {
    if (loss == null) {
      failAll(why);
    }
  }

  /// @param what continues "the server"
  private void lose(String what, @Nullable Throwable cause) {
    if (loss != null) {
      return;
    }
    IOException why = new IOException("NBD server " + server + " " + what, cause);
    if (!disconnecting) {
      LOG.error(
          "{}: the connection is lost, {} requests under way and all later ones fail",
          why.getMessage(),
          commands.inFlight());
    }
    failAll(why);
    Consumer<IOException> listener = lossListener;
    if (listener != null) {
      listener.accept(why);
    }
  }

  private void failAll(IOException why) {
    loss = why;
    decoder.stop();
    encoder.close();
    reset();
    PendingCommand command = commands.any();
    while (command != null) {
      commands.end(command).fail(IoError.UNREACHABLE, why);
      command = commands.any();
    }
  }

  /// Closes in a way that makes the server drop what it has not read yet.
  private void reset() {
    if (channel instanceof SocketChannel && !disconnecting) {
      try {
        channel.config().setOption(ChannelOption.SO_LINGER, 0);
      } catch (ChannelException alreadyClosed) {
        LOG.debug("cannot reset the connection to {}", server, alreadyClosed);
      }
    }
    closeSocket();
  }

  /// Closes without a word: a goodbye inside TLS could wait for a server that does not read.
  private void closeSocket() {
    ChannelHandlerContext first = channel.pipeline().firstContext();
    if (first != null) {
      first.close();
    }
  }

  /// Takes leave of the server and waits until the channel is closed, for a few seconds at most.
  /// Callable from every thread, waits only off the loop; idempotent.
  void close() {
    if (!channel.eventLoop().isShuttingDown()) {
      channel.eventLoop().execute(this::disconnect);
    }
    if (!channel.eventLoop().inEventLoop()) {
      if (!channel.closeFuture().awaitUninterruptibly(CLOSE_TIMEOUT_SECONDS, TimeUnit.SECONDS)) {
        // The server does not even read.
        closeSocket();
      }
    }
  }

  /// Sends DISC and closes (spec: "Terminating the transmission phase").
  private void disconnect() {
    if (loss != null || disconnecting) {
      return;
    }
    disconnecting = true;
    encoder.add(0, NBD_CMD_DISC, 0, 0, 0);
    encoder.flush();
    channel.writeAndFlush(channel.alloc().buffer(0)).addListener(ChannelFutureListener.CLOSE);
  }
}
