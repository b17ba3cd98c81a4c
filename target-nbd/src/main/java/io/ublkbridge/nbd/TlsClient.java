package io.ublkbridge.nbd;

import io.netty.channel.Channel;
import io.netty.channel.ChannelHandler;
import io.ublkbridge.target.TargetOpenException;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/// Everything for making one connection secure, with keys and certificates that were just read:
/// each attempt to connect has its own, so that renewed files count from the next one on.
///
/// The handlers tell how the TLS handshake ended by a
/// [io.netty.handler.ssl.SslHandshakeCompletionEvent], and that the server has taken leave by a
/// [io.netty.handler.ssl.SslCloseCompletionEvent].
sealed interface TlsClient extends AutoCloseable permits X509Tls, PskTls {
  /// Reads what the URI names. Blocks on files, so it is for control threads only.
  ///
  /// @return null if the URI asks for no TLS
  static @Nullable TlsClient load(NbdUri uri) throws TargetOpenException {
    Optional<TlsSettings> wanted = uri.tls();
    if (wanted.isEmpty()) {
      return null;
    }
    TlsSettings settings = wanted.get();
    return switch (settings.mode()) {
      case X509 -> X509Tls.load(settings, settings.peerName(uri.endpoint()));
      case PSK -> PskTls.load(settings);
    };
  }

  /// A handler that begins the TLS handshake as soon as it is in the channel's pipeline. To be
  /// called on the channel's event loop.
  ChannelHandler newHandler(Channel channel);

  /// What was agreed on, once the handshake has succeeded.
  ///
  /// @param handler one that [#newHandler] has made
  TlsFacts facts(ChannelHandler handler);

  /// What to tell people about a failure.
  ///
  /// @param handshaking whether it came before the TLS handshake had ended
  TargetOpenException failure(Throwable cause, boolean handshaking);

  /// What to tell people when the server hangs up without a word. With TLS 1.3 that may come after
  /// the handshake has succeeded on our side: only then the server has looked at who we are.
  TargetOpenException hungUp(boolean handshaking, @Nullable Throwable cause);

  /// Makes no more handlers; those that are in use live on.
  @Override
  void close();
}
