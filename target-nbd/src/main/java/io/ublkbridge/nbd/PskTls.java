package io.ublkbridge.nbd;

import io.netty.channel.Channel;
import io.netty.channel.ChannelHandler;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.io.IOException;
import java.security.SecureRandom;
import java.util.Set;
import org.bouncycastle.tls.crypto.TlsCrypto;
import org.bouncycastle.tls.crypto.impl.jcajce.JcaTlsCryptoProvider;
import org.jspecify.annotations.Nullable;

/// TLS 1.3 with a key that both sides know already (RFC 8446, section 2.2), by BouncyCastle:
/// neither BoringSSL nor the JDK can do that.
final class PskTls implements TlsClient {
  /// How servers say that they do not know the user, or have another key.
  private static final Set<String> ABOUT_US =
      Set.of(
          "unknown_psk_identity",
          "decrypt_error",
          "bad_record_mac",
          "illegal_parameter",
          "handshake_failure",
          "access_denied");

  private static final String REMEDY =
      "is it the same user and key in the server's file, and does the server use that file?";

  private final TlsCrypto crypto = new JcaTlsCryptoProvider().create(new SecureRandom());
  private final String user;
  private final byte[] key;
  private final boolean tellsKeys;

  private PskTls(String user, byte[] key, boolean tellsKeys) {
    this.user = user;
    this.key = key;
    this.tellsKeys = tellsKeys;
  }

  /// @param tellsKeys whether [#recordKeys] are wanted
  static PskTls load(TlsSettings settings, boolean tellsKeys) throws TargetOpenException {
    String user = settings.user().orElseGet(PskTls::loginName);
    byte[] key = new PskFile(settings.pskFile().orElseThrow()).keyOf(user);
    return new PskTls(user, key, tellsKeys);
  }

  /// The user that libnbd would take, too.
  private static String loginName() {
    String name = System.getenv("LOGNAME");
    return name == null || name.isEmpty() ? System.getProperty("user.name", "root") : name;
  }

  @Override
  public ChannelHandler newHandler(Channel channel) {
    return new PskTlsHandler(new PskTlsPeer(crypto, user, key));
  }

  @Override
  public TlsFacts facts(ChannelHandler handler) {
    return new TlsFacts("TLSv1.3", PskTlsPeer.CIPHER_SUITE, TlsSettings.Mode.PSK, true, false);
  }

  @Override
  public @Nullable RecordKeys recordKeys(ChannelHandler handler) throws IOException {
    return tellsKeys ? ((PskTlsHandler) handler).recordKeys() : null;
  }

  @Override
  public TargetOpenException failure(Throwable failure, boolean handshaking) {
    if (PskTlsPeer.isUnproven(failure)) {
      return new TargetOpenException(
          Reason.REFUSED,
          "the server does not know the key of user '" + ServerText.clean(user) + "'",
          REMEDY,
          failure);
    }
    if (!TlsFailure.is(failure)) {
      return hungUp(handshaking, failure);
    }
    String alert = TlsFailure.alert(failure);
    return handshaking && alert != null && ABOUT_US.contains(alert)
        ? refused(alert, failure)
        : TlsFailure.other(failure);
  }

  @Override
  public TargetOpenException hungUp(boolean handshaking, @Nullable Throwable cause) {
    // Servers look at the key first, and not all of them say that they do not like it.
    return handshaking
        ? refused("it closed the connection during the TLS handshake", cause)
        : TlsFailure.closed(false, cause);
  }

  private TargetOpenException refused(String evidence, @Nullable Throwable cause) {
    return new TargetOpenException(
        Reason.REFUSED,
        "the server refused the key of user '" + ServerText.clean(user) + "': " + evidence,
        REMEDY,
        cause);
  }

  @Override
  public void close() {}
}
