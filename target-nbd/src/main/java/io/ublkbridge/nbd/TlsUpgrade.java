package io.ublkbridge.nbd;

import io.netty.channel.ChannelHandler;
import io.netty.channel.ChannelHandlerContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.io.IOException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// How far the handshake phase of one channel has got with TLS, if it is wanted at all.
///
/// Confined to the channel's event loop.
final class TlsUpgrade {
  private static final Logger LOG = LoggerFactory.getLogger(TlsUpgrade.class);
  private static final String NAME = "tls";
  private static final String GATE_NAME = "tls-records";

  private enum State {
    PLAIN,
    HANDSHAKING,
    /// Our side is done, and its last words are on their way.
    AGREED,
    /// Whoever makes the records is settled; the server may still think about us.
    SECURE,
    /// The server has said something, so it has accepted us.
    TRUSTED
  }

  private final @Nullable TlsClient client;
  private @Nullable TlsFacts facts;
  private State state = State.PLAIN;

  TlsUpgrade(@Nullable TlsClient client) {
    this.client = client;
  }

  boolean wanted() {
    return client != null;
  }

  /// Puts the TLS handler in front of the one that asks.
  ///
  /// @param ready run when NBD can go on inside TLS, unless the handshake fails
  void begin(ChannelHandlerContext context, Runnable ready) {
    state = State.HANDSHAKING;
    ChannelHandler made = wantedClient().newHandler(context.channel());
    RecordGate gate =
        new RecordGate(more -> {
          if (state == State.AGREED) {
            settle(context, made, more);
            ready.run();
          }
        });
    context.pipeline().addBefore(context.name(), GATE_NAME, gate);
    context.pipeline().addBefore(context.name(), NAME, made);
  }

  /// The TLS handler has said that the handshake is over. It still has to send what it said last.
  void agreed() {
    state = State.AGREED;
  }

  /// Leaves the records to the kernel, if it takes them, or to the handler.
  ///
  /// @param more whether records behind the handshake were received already
  private void settle(ChannelHandlerContext context, ChannelHandler made, boolean more) {
    state = State.SECURE;
    TlsFacts agreed = wantedClient().facts(made);
    context.pipeline().context(made).flush();
    if (!more && inKernel(context, made)) {
      agreed = agreed.withRecordsInKernel();
      context.pipeline().remove(made);
    }
    facts = agreed;
    context.pipeline().remove(GATE_NAME);
  }

  private boolean inKernel(ChannelHandlerContext context, ChannelHandler made) {
    if (!(context.channel() instanceof RingSocketChannel socket) || !socket.isQuiet()) {
      return false;
    }
    try (RecordKeys keys = wantedClient().recordKeys(made)) {
      return keys != null && socket.startKernelTls(keys);
    } catch (IOException e) {
      LOG.warn("{}: TLS cannot be left to the kernel", context.channel(), e);
      var _ = context.close();
      return false;
    }
  }

  /// The server has sent something that belongs to NBD.
  void heardServer() {
    if (state == State.SECURE) {
      state = State.TRUSTED;
    }
  }

  /// Whether an end of the connection now means that the server does not want us.
  boolean mayBeRefused() {
    return state != State.PLAIN && state != State.TRUSTED;
  }

  boolean isAbout(Throwable failure) {
    return state != State.PLAIN && TlsFailure.is(failure);
  }

  TargetOpenException failure(Throwable cause) {
    return wantedClient().failure(cause, state == State.HANDSHAKING);
  }

  /// What it means that the connection has ended while it [#mayBeRefused].
  TargetOpenException hungUp(@Nullable Throwable cause) {
    return wantedClient().hungUp(state == State.HANDSHAKING, cause);
  }

  static TargetOpenException injected() {
    return new TargetOpenException(
        Reason.REFUSED,
        "the server went on in plain text after it agreed to TLS",
        "somebody in the middle may be trying to slip something in: do you trust the network?");
  }

  /// Notes with the channel what was agreed on.
  void complete(ChannelHandlerContext context) {
    TlsFacts agreed = facts;
    if (agreed != null) {
      agreed.keepWith(context.channel());
    }
  }

  private TlsClient wantedClient() {
    TlsClient wanted = client;
    if (wanted == null) {
      throw new IllegalStateException("TLS is not wanted");
    }
    return wanted;
  }
}
