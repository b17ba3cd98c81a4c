package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.NbdProtocol.EXPORT_NAME_ZEROES_BYTES;
import static io.ublkbridge.nbd.NbdProtocol.IHAVEOPT;
import static io.ublkbridge.nbd.NbdProtocol.NBDMAGIC;
import static io.ublkbridge.nbd.NbdProtocol.NBD_FLAG_FIXED_NEWSTYLE;
import static io.ublkbridge.nbd.NbdProtocol.NBD_FLAG_NO_ZEROES;
import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_ABORT;
import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_EXPORT_NAME;
import static io.ublkbridge.nbd.NbdProtocol.OLDSTYLE_MAGIC;
import static io.ublkbridge.nbd.NbdProtocol.OPTION_REPLY_MAGIC;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.ssl.SslCloseCompletionEvent;
import io.netty.handler.ssl.SslHandshakeCompletionEvent;
import io.netty.util.concurrent.Promise;
import io.ublkbridge.target.Durations;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/// The handshake phase on one channel (spec: "Fixed newstyle negotiation"): cuts the stream into
/// messages, lets [OptionHaggling] decide, and leaves the pipeline when transmission begins.
///
/// Bytes are copied into a buffer of its own, which never holds more than one message and what came
/// in the same read; a message longer than [#REPLY_BYTES_MAX] is refused before it is buffered.
/// After the last reply of the handshake the server may not send anything until it is asked: a byte
/// left over is a violation.
///
/// Confined to the channel's event loop.
@SuppressWarnings("FutureReturnValueIgnored") // A failed write or close ends in exceptionCaught.
final class HandshakeHandler extends ChannelInboundHandlerAdapter {
  /// Longest data of an option reply: two strings of the spec's greatest length and their lengths,
  /// generously.
  static final int REPLY_BYTES_MAX = 64 << 10;

  private static final int GREETING_BYTES = 18;
  private static final int REPLY_HEADER_BYTES = 20;
  private static final int EXPORT_NAME_REPLY_BYTES = 10;

  private enum Phase {
    GREETING,
    OPTION_REPLY,
    TLS,
    EXPORT_NAME_REPLY,
    ABORTING,
    DONE
  }

  private final String server;
  private final OptionHaggling haggling;
  private final ReceiveBuffer receiveBuffer;
  private final Promise<NbdConnection> result;
  private TlsUpgrade tls = new TlsUpgrade(null);
  private long deadlineNanos;
  private Duration timeout = Duration.ZERO;

  private @Nullable ByteBuf received;
  private @Nullable ScheduledFuture<?> deadline;
  private Phase phase = Phase.GREETING;
  private int option;
  private boolean noZeroes;

  /// Why the handshake failed, while ABORT is under way.
  private @Nullable TargetOpenException failure;

  /// @param server where the channel leads, for messages
  /// @param receiveBuffer what the channel receives into
  /// @param result gets the connection, ready for requests and in this handler's place, or a
  ///   [TargetOpenException]; the channel is closed then
  HandshakeHandler(
      String server,
      OptionHaggling haggling,
      ReceiveBuffer receiveBuffer,
      Promise<NbdConnection> result) {
    this.server = server;
    this.haggling = haggling;
    this.receiveBuffer = receiveBuffer;
    this.result = result;
  }

  /// Sets the deadline.
  ///
  /// @param limit from when this joins a pipeline to the end of the handshake
  /// @param told what the person is told of it, who allowed some time for resolving too
  HandshakeHandler within(Duration limit, Duration told) {
    deadlineNanos = limit.toNanos();
    timeout = told;
    return this;
  }

  /// Has everything but STARTTLS said inside TLS, unless `client` is null.
  HandshakeHandler securedBy(@Nullable TlsClient client) {
    tls = new TlsUpgrade(client);
    return this;
  }

  @Override
  public void handlerAdded(ChannelHandlerContext context) {
    deadline =
        context.executor().schedule(() -> onDeadline(context), deadlineNanos, TimeUnit.NANOSECONDS);
  }

  @Override
  public void handlerRemoved(ChannelHandlerContext context) {
    end();
  }

  @Override
  public void channelRead(ChannelHandlerContext context, Object message) {
    ByteBuf bytes = (ByteBuf) message;
    try {
      if (phase == Phase.DONE) {
        return;
      }
      ByteBuf buffer = received;
      if (buffer == null) {
        buffer = context.alloc().buffer(256);
        received = buffer;
      }
      buffer.writeBytes(bytes);
      while (readMessage(context, buffer)) {
        buffer.discardSomeReadBytes();
      }
    } catch (ProtocolViolation violation) {
      fail(context, brokeProtocol(violation));
    } finally {
      bytes.release();
    }
  }

  /// @return whether a message was read, and another may follow
  private boolean readMessage(ChannelHandlerContext context, ByteBuf buffer)
      throws ProtocolViolation {
    return switch (phase) {
      case GREETING -> readGreeting(context, buffer);
      case OPTION_REPLY -> readOptionReply(context, buffer);
      case EXPORT_NAME_REPLY -> readExportNameReply(context, buffer);
      case TLS -> {
        // Comes through the TLS handler; none lets anything pass before it is done.
        throw new ProtocolViolation("sent data before the TLS handshake was over");
      }
      case ABORTING -> {
        if (buffer.isReadable()) {
          // Whatever it is, it is an answer to ABORT: the server is done with this connection.
          fail(context, failure == null ? closed(null) : failure);
        }
        yield false;
      }
      case DONE -> false;
    };
  }

  private boolean readGreeting(ChannelHandlerContext context, ByteBuf buffer)
      throws ProtocolViolation {
    int readable = buffer.readableBytes();
    if (readable >= 8 && buffer.getLong(buffer.readerIndex()) != NBDMAGIC) {
      fail(context, notNbd());
      return false;
    }
    if (readable >= 16) {
      long style = buffer.getLong(buffer.readerIndex() + 8);
      if (style == OLDSTYLE_MAGIC) {
        fail(context, oldstyle("the oldstyle handshake"));
        return false;
      }
      if (style != IHAVEOPT) {
        fail(context, notNbd());
        return false;
      }
    }
    if (readable < GREETING_BYTES) {
      return false;
    }
    buffer.skipBytes(16);
    int flags = buffer.readUnsignedShort();
    if ((flags & NBD_FLAG_FIXED_NEWSTYLE) == 0) {
      fail(context, oldstyle("the unfixed newstyle handshake"));
      return false;
    }
    noZeroes = (flags & NBD_FLAG_NO_ZEROES) != 0;
    ByteBuf clientFlags = context.alloc().buffer(4);
    clientFlags.writeInt(flags & (NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES));
    context.write(clientFlags, context.voidPromise());
    phase = Phase.OPTION_REPLY;
    return take(context, buffer, tls.wanted() ? haggling.startTls() : haggling.start());
  }

  private boolean readOptionReply(ChannelHandlerContext context, ByteBuf buffer)
      throws ProtocolViolation {
    if (buffer.readableBytes() < REPLY_HEADER_BYTES) {
      return false;
    }
    tls.heardServer();
    int at = buffer.readerIndex();
    if (buffer.getLong(at) != OPTION_REPLY_MAGIC) {
      throw new ProtocolViolation("sent an option reply with a wrong magic number");
    }
    int answered = buffer.getInt(at + 8);
    if (answered != option) {
      throw new ProtocolViolation(
          "answered "
              + NbdProtocol.optionName(answered)
              + " when "
              + NbdProtocol.optionName(option)
              + " was asked");
    }
    long length = buffer.getUnsignedInt(at + 16);
    if (length > REPLY_BYTES_MAX) {
      throw new ProtocolViolation("announced an option reply of " + length + " bytes");
    }
    if (buffer.readableBytes() < REPLY_HEADER_BYTES + length) {
      return false;
    }
    int type = buffer.getInt(at + 12);
    buffer.skipBytes(REPLY_HEADER_BYTES);
    OptionReply reply = OptionReply.parse(type, buffer.readSlice((int) length));
    return take(context, buffer, haggling.onReply(reply));
  }

  private boolean readExportNameReply(ChannelHandlerContext context, ByteBuf buffer)
      throws ProtocolViolation {
    int length = EXPORT_NAME_REPLY_BYTES + (noZeroes ? 0 : EXPORT_NAME_ZEROES_BYTES);
    if (buffer.readableBytes() < length) {
      return false;
    }
    long sizeBytes = buffer.readLong();
    int flags = buffer.readUnsignedShort();
    buffer.skipBytes(length - EXPORT_NAME_REPLY_BYTES);
    return take(context, buffer, haggling.onExportName(sizeBytes, flags));
  }

  private boolean take(ChannelHandlerContext context, ByteBuf buffer, HaggleStep step)
      throws ProtocolViolation {
    switch (step) {
      case HaggleStep.Wait _ -> {}
      case HaggleStep.Send send -> sendOption(context, send.option(), send.data());
      case HaggleStep.SendExportName send -> {
        sendOption(context, NBD_OPT_EXPORT_NAME, send.name());
        phase = Phase.EXPORT_NAME_REPLY;
      }
      case HaggleStep.Abort abort -> {
        failure = abort.failure();
        phase = Phase.ABORTING;
        sendOption(context, NBD_OPT_ABORT, ByteBuffer.allocate(0));
      }
      case HaggleStep.StartTls _ -> {
        if (buffer.isReadable()) {
          fail(context, TlsUpgrade.injected());
          return false;
        }
        phase = Phase.TLS;
        tls.begin(context, () -> goOnInsideTls(context));
        return false;
      }
      case HaggleStep.Enter enter -> {
        if (buffer.isReadable()) {
          throw new ProtocolViolation("sent data before it was asked for any");
        }
        end();
        tls.complete(context);
        NbdConnection connection =
            new NbdConnection(context.channel(), server, enter.negotiated(), receiveBuffer);
        context.pipeline().replace(this, "transmission", connection);
        result.trySuccess(connection);
        return false;
      }
    }
    return true;
  }

  /// Hears how the TLS handshake ended.
  @Override
  public void userEventTriggered(ChannelHandlerContext context, Object event) {
    if (phase == Phase.TLS && event instanceof SslHandshakeCompletionEvent handshake) {
      if (!handshake.isSuccess()) {
        fail(context, tls.failure(handshake.cause()));
        return;
      }
      tls.agreed();
    } else if (event instanceof SslCloseCompletionEvent close && close.isSuccess()) {
      channelInactive(context);
    }
  }

  private void goOnInsideTls(ChannelHandlerContext context) {
    if (phase == Phase.TLS && haggling.start() instanceof HaggleStep.Send send) {
      phase = Phase.OPTION_REPLY;
      sendOption(context, send.option(), send.data());
    }
  }

  private void sendOption(ChannelHandlerContext context, int next, ByteBuffer data) {
    option = next;
    ByteBuf message = context.alloc().buffer(16 + data.remaining());
    message.writeLong(IHAVEOPT).writeInt(next).writeInt(data.remaining()).writeBytes(data);
    context.writeAndFlush(message, context.voidPromise());
  }

  private void onDeadline(ChannelHandlerContext context) {
    if (phase == Phase.GREETING) {
      fail(
          context,
          new TargetOpenException(
              Reason.TIMED_OUT,
              "the server sent no greeting within " + Durations.format(timeout),
              "is this an NBD server's port, and is the export not busy with another client?"));
    } else {
      TargetOpenException known = failure;
      fail(
          context,
          known != null
              ? known
              : new TargetOpenException(
                  Reason.TIMED_OUT,
                  (phase == Phase.TLS
                          ? "the server did not end the TLS handshake"
                          : "the server did not answer " + NbdProtocol.optionName(option))
                      + " within "
                      + Durations.format(timeout),
                  "is the server overloaded?"));
    }
  }

  @Override
  public void channelInactive(ChannelHandlerContext context) {
    TargetOpenException known = failure;
    fail(context, known != null ? known : closed(null));
  }

  @Override
  public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
    TargetOpenException known = failure;
    if (known != null) {
      fail(context, known);
    } else if (tls.isAbout(cause)) {
      fail(context, tls.failure(cause));
    } else if (cause instanceof IOException) {
      fail(context, closed(cause));
    } else {
      fail(
          context,
          new TargetOpenException(Reason.FAILED, "the handshake failed: " + cause, null, cause));
    }
  }

  private void fail(ChannelHandlerContext context, TargetOpenException why) {
    end();
    result.tryFailure(why);
    context.close();
  }

  /// Lets go of everything; idempotent.
  private void end() {
    phase = Phase.DONE;
    if (deadline != null) {
      deadline.cancel(false);
      deadline = null;
    }
    if (received != null) {
      received.release();
      received = null;
    }
  }

  private static TargetOpenException brokeProtocol(ProtocolViolation violation) {
    return new TargetOpenException(
        Reason.UNREACHABLE,
        "the server does not follow the NBD protocol: it " + violation.getMessage(),
        "is this really an NBD server, and up to date?",
        violation);
  }

  private static TargetOpenException notNbd() {
    return new TargetOpenException(
        Reason.UNREACHABLE,
        "what answers there does not speak NBD",
        "is the port right? NBD's own is " + NbdProtocol.DEFAULT_PORT);
  }

  private static TargetOpenException oldstyle(String what) {
    return new TargetOpenException(
        Reason.UNSUPPORTED,
        "the server only speaks " + what + ", which this client does not",
        "use a server that speaks fixed newstyle (nbdkit: without -o)");
  }

  private TargetOpenException closed(@Nullable Throwable cause) {
    if (phase == Phase.GREETING) {
      return new TargetOpenException(
          Reason.UNREACHABLE,
          "the server closed the connection without a greeting",
          "is it an NBD server, and does it let this host in?",
          cause);
    }
    if (tls.mayBeRefused()) {
      return tls.hungUp(cause);
    }
    if (phase == Phase.EXPORT_NAME_REPLY) {
      return new TargetOpenException(
          Reason.FAILED,
          "the server closed the connection when asked for the export",
          "does it have an export of this name?",
          cause);
    }
    return new TargetOpenException(
        Reason.UNREACHABLE,
        "the server closed the connection during the handshake, after "
            + NbdProtocol.optionName(option),
        "does the server's log say why?",
        cause);
  }
}
