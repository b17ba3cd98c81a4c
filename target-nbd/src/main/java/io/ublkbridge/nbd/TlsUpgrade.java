package io.ublkbridge.nbd;

import io.netty.channel.ChannelHandler;
import io.netty.channel.ChannelHandlerContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import org.jspecify.annotations.Nullable;

/// How far the handshake phase of one channel has got with TLS, if it is wanted at all.
///
/// Confined to the channel's event loop.
final class TlsUpgrade {
  private static final String NAME = "tls";

  private enum State {
    PLAIN,
    HANDSHAKING,
    /// Our side is done; the server may still think about us.
    SECURE,
    /// The server has said something, so it has accepted us.
    TRUSTED
  }

  private final @Nullable TlsClient client;
  private @Nullable ChannelHandler handler;
  private State state = State.PLAIN;

  TlsUpgrade(@Nullable TlsClient client) {
    this.client = client;
  }

  boolean wanted() {
    return client != null;
  }

  /// Puts the TLS handler in front of the one that asks.
  void begin(ChannelHandlerContext context) {
    state = State.HANDSHAKING;
    ChannelHandler made = wantedClient().newHandler(context.channel());
    handler = made;
    context.pipeline().addBefore(context.name(), NAME, made);
  }

  void succeeded() {
    state = State.SECURE;
  }

  /// The server has sent something that belongs to NBD.
  void heardServer() {
    if (state == State.SECURE) {
      state = State.TRUSTED;
    }
  }

  /// Whether an end of the connection now means that the server does not want us.
  boolean mayBeRefused() {
    return state == State.HANDSHAKING || state == State.SECURE;
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
    ChannelHandler made = handler;
    if (made != null) {
      wantedClient().facts(made).keepWith(context.channel());
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
