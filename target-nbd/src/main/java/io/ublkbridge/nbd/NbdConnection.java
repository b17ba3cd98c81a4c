package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_DISC;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_WRITE;
import static io.ublkbridge.nbd.NbdProtocol.NBD_ESHUTDOWN;

import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.EventLoop;
import io.netty.channel.unix.Errors;
import io.netty.handler.ssl.SslCloseCompletionEvent;
import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.IoError;
import java.io.IOException;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/// One connection in the transmission phase, and the last handler of its channel: the only one, or
/// with one for TLS in front.
///
/// Ends for good when the server closes it, breaks the protocol, leaves a request unanswered for
/// too long or says that it shuts down. The socket is then reset, so that requests still in its
/// buffers are not executed late, and the owner takes back what is under way: the server may or may
/// not have done it. Without an owner it fails.
///
/// Confined to the channel's event loop, except [#close], [#isOpen] and [#isOn].
@SuppressWarnings("FutureReturnValueIgnored") // A failed write or close ends in exceptionCaught.
final class NbdConnection extends ChannelInboundHandlerAdapter {
  private static final long CLOSE_TIMEOUT_SECONDS = 5;

  /// The one that uses a connection.
  interface Owner {
    /// The server has done a command. Called before its requester is told.
    void acknowledged(PendingCommand command);

    /// The server has refused a command. Called before its requester is told.
    void refused(PendingCommand command);

    /// The connection is lost. [#takePending] then tells what was under way.
    void lost(NbdConnection connection, Loss loss);
  }

  private final Channel channel;
  private final String server;
  private final Negotiated negotiated;
  private final ReceiveBuffer receiveBuffer;
  private final @Nullable TlsFacts tls;
  private final CookieTable commands = new CookieTable();
  private final ReplyDecoder decoder;
  private RequestEncoder encoder;
  private @Nullable Owner owner;

  /// Why this connection is no more.
  private @Nullable Loss loss;

  private boolean disconnecting;

  private boolean answered;

  /// Counts the calls of [#tick]: a clock that costs a request no system call.
  private int ticks;

  /// The tick at which something was last received.
  private int receivedTick;

  /// @param server where it leads, for messages
  NbdConnection(
      Channel channel, String server, Negotiated negotiated, ReceiveBuffer receiveBuffer) {
    this.channel = channel;
    this.server = server;
    this.negotiated = negotiated;
    this.receiveBuffer = receiveBuffer;
    this.tls = TlsFacts.of(channel);
    HeaderForm headers = negotiated.info().headers();
    SendBuffers own = new SendBuffers(channel.alloc());
    this.encoder = new RequestEncoder(channel, own, headers);
    // Only used as long as no queue owns this, whose buffers are its own business.
    channel.closeFuture().addListener(_ -> own.close());
    this.decoder = new ReplyDecoder(commands, new Replies(), new ServerErrors(server), headers);
    resetOnClose(true);
  }

  Negotiated negotiated() {
    return negotiated;
  }

  /// What was agreed on about TLS; null if the connection is plain. Callable from every thread.
  @Nullable TlsFacts tls() {
    return tls;
  }

  /// Whether it was neither closed nor lost. Callable from every thread.
  boolean isOpen() {
    return channel.isActive();
  }

  /// Whether it lives on this loop. Callable from every thread.
  boolean isOn(EventLoop loop) {
    return channel.eventLoop().equals(loop);
  }

  /// Gives it to `user`, who is told at once if it is lost already. Nothing is under way.
  ///
  /// @param buffers what requests are sent from; of the same event loop
  void ownedBy(Owner user, SendBuffers buffers) {
    owner = user;
    Loss known = loss;
    if (known != null) {
      user.lost(this, known);
    } else {
      encoder.close();
      encoder = new RequestEncoder(channel, buffers, negotiated.info().headers());
    }
  }

  /// Why it is no more, or null.
  @Nullable Loss loss() {
    return loss;
  }

  int inFlight() {
    return commands.inFlight();
  }

  /// Starts a request on a connection that is not lost; it leaves with the next [#flush].
  ///
  /// @param type the command, one of the spec's `NBD_CMD_*`
  /// @param flags its command flags
  /// @param entry where the journal remembers it, if it does
  /// @return null if there are too many
  /// @throws io.ublkbridge.target.PayloadException if the request's payload cannot be had
  @Nullable PendingCommand start(
      BlockRequest request, int type, int flags, @Nullable JournalEntry entry) {
    PendingCommand command = commands.start(request, type, ticks);
    if (command == null) {
      return null;
    }
    command.journalled(entry);
    if (type != NBD_CMD_WRITE) {
      encoder.add(flags, type, command.cookie(), command.offsetBytes(), request.lengthBytes());
      return command;
    }
    boolean encoded = false;
    try {
      encoder.addWrite(flags, command.cookie(), request, entry);
      encoded = true;
    } finally {
      if (!encoded) {
        commands.end(command);
      }
    }
    return command;
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
      lose("did not answer a request before its deadline", true, null);
    }
  }

  /// Whether the server has ever answered a request on it.
  boolean hasAnswered() {
    return answered;
  }

  /// For how many ticks nothing was under way and nothing was received.
  int idleTicks() {
    return commands.inFlight() == 0 ? ticks - receivedTick : 0;
  }

  /// Ends what is under way without an answer, in the order in which the queue got it.
  List<PendingCommand> takePending() {
    return commands.underWay().stream()
        .sorted(Comparator.comparingLong(PendingCommand::order))
        .toList();
  }

  /// Forgets a command of [#takePending], and returns its request.
  BlockRequest end(PendingCommand command) {
    return commands.end(command);
  }

  @Override
  public void channelRead(ChannelHandlerContext context, Object message) {
    ByteBuf received = (ByteBuf) message;
    receivedTick = ticks;
    try {
      if (loss == null) {
        decoder.decode(
            receiveBuffer.memoryOf(received), received.readerIndex(), received.writerIndex());
      }
    } catch (ProtocolViolation violation) {
      lose("broke the protocol: it " + violation.getMessage(), true, violation);
    } finally {
      received.release();
    }
  }

  /// The server may say goodbye inside TLS and leave the socket open.
  @Override
  public void userEventTriggered(ChannelHandlerContext context, Object event) {
    if (event instanceof SslCloseCompletionEvent close && close.isSuccess()) {
      lose("closed the connection", false, null);
    }
  }

  @Override
  public void channelInactive(ChannelHandlerContext context) {
    lose("closed the connection", false, null);
  }

  @Override
  public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
    lose("cannot be reached any more: " + cause.getMessage(), !isReset(cause), cause);
  }

  /// Whether the server's side of the connection is known to be gone.
  private static boolean isReset(Throwable cause) {
    return cause instanceof Errors.NativeIoException failure
        && (failure.expectedErr() == Errors.ERRNO_ECONNRESET_NEGATIVE
            || failure.expectedErr() == Errors.ERRNO_EPIPE_NEGATIVE);
  }

  /// @param what continues "the server"
  private void lose(String what, boolean ambiguous, @Nullable Throwable cause) {
    if (loss != null) {
      return;
    }
    Loss why = new Loss(new IOException("NBD server " + server + " " + what, cause), ambiguous);
    loss = why;
    decoder.stop();
    encoder.close();
    closeSocket();
    Owner user = owner;
    if (user != null) {
      user.lost(this, why);
      return;
    }
    for (PendingCommand command : takePending()) {
      commands.end(command).fail(IoError.UNREACHABLE, why.why());
    }
  }

  /// Closes without a word: a goodbye inside TLS could wait for a server that does not read.
  private void closeSocket() {
    ChannelHandlerContext first = channel.pipeline().firstContext();
    if (first != null) {
      first.close();
    }
  }

  /// A TLS handler may close the channel before this hears of it, so it is said beforehand.
  private void resetOnClose(boolean reset) {
    if (channel instanceof RingSocketChannel socket) {
      socket.resetOnClose(reset);
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
    resetOnClose(false);
    encoder.add(0, NBD_CMD_DISC, 0, 0, 0);
    encoder.flush();
    channel.writeAndFlush(channel.alloc().buffer(0)).addListener(ChannelFutureListener.CLOSE);
  }

  /// Ends commands as their replies say.
  private final class Replies implements ReplyDecoder.CommandEnd {
    @Override
    public void succeeded(PendingCommand command) {
      answered = true;
      Owner user = owner;
      if (user != null) {
        user.acknowledged(command);
      }
      commands.end(command).complete();
    }

    @Override
    public void failed(PendingCommand command, int errno) {
      if (errno == NBD_ESHUTDOWN) {
        // It was not done and will not be: the same as if the server were gone already.
        lose("is shutting down", false, null);
        return;
      }
      answered = true;
      Owner user = owner;
      if (user != null) {
        user.refused(command);
      }
      commands.end(command).fail(ServerErrors.ioError(errno), null);
    }
  }
}
