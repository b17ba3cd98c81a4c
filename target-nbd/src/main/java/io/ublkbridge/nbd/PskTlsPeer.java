package io.ublkbridge.nbd;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.util.List;
import java.util.Vector;
import org.bouncycastle.tls.AbstractTlsClient;
import org.bouncycastle.tls.AlertDescription;
import org.bouncycastle.tls.BasicTlsPSKExternal;
import org.bouncycastle.tls.CipherSuite;
import org.bouncycastle.tls.PRFAlgorithm;
import org.bouncycastle.tls.ProtocolVersion;
import org.bouncycastle.tls.SecurityParameters;
import org.bouncycastle.tls.TlsAuthentication;
import org.bouncycastle.tls.TlsFatalAlert;
import org.bouncycastle.tls.TlsPSK;
import org.bouncycastle.tls.crypto.CryptoHashAlgorithm;
import org.bouncycastle.tls.crypto.TlsCrypto;
import org.bouncycastle.tls.crypto.TlsCryptoUtils;
import org.bouncycastle.tls.crypto.TlsSecret;
import org.jspecify.annotations.Nullable;

/// What we offer and accept in a TLS session with a pre-shared key: TLS 1.3, that key with a fresh
/// Diffie-Hellman exchange (`psk_dhe_ke`), and the one cipher suite that is fast in Java and goes
/// with the SHA-256 of such keys. A server that does not use the key is refused.
final class PskTlsPeer extends AbstractTlsClient {
  /// The only one that it offers.
  static final String CIPHER_SUITE = "TLS_AES_128_GCM_SHA256";

  private static final byte[] NO_CONTEXT = {};

  private final String user;
  private final byte[] key;
  private boolean complete;
  private boolean proven;

  PskTlsPeer(TlsCrypto crypto, String user, byte[] key) {
    super(crypto);
    this.user = user;
    this.key = key;
  }

  @Override
  protected ProtocolVersion[] getSupportedVersions() {
    return ProtocolVersion.TLSv13.only();
  }

  @Override
  protected int[] getSupportedCipherSuites() {
    return new int[] {CipherSuite.TLS_AES_128_GCM_SHA256};
  }

  @Override
  public Vector<?> getExternalPSKs() {
    return new Vector<>(
        List.of(
            new BasicTlsPSKExternal(
                user.getBytes(UTF_8),
                getCrypto().createSecret(key),
                PRFAlgorithm.tls13_hkdf_sha256)));
  }

  @Override
  public void notifySelectedPSK(@Nullable TlsPSK selected) throws IOException {
    proven = selected != null;
    if (!proven) {
      throw new Unproven();
    }
  }

  @Override
  public TlsAuthentication getAuthentication() throws IOException {
    // Certificates are not asked for: only the key counts.
    throw new Unproven();
  }

  @Override
  public void notifyHandshakeComplete() throws IOException {
    super.notifyHandshakeComplete();
    if (!proven) {
      throw new Unproven();
    }
    complete = true;
  }

  /// Whether the handshake has succeeded, by the key.
  boolean complete() {
    return complete;
  }

  /// What protects the records of the [#complete] session.
  RecordKeys recordKeys() throws IOException {
    SecurityParameters parameters = context.getSecurityParametersConnection();
    return RecordKeys.derive(
        CIPHER_SUITE,
        secret(parameters.getTrafficSecretServer()),
        secret(parameters.getTrafficSecretClient()));
  }

  private static TrafficSecret secret(TlsSecret secret) {
    return (label, lengthBytes) ->
        TlsCryptoUtils.hkdfExpandLabel(
                secret, CryptoHashAlgorithm.sha256, label, NO_CONTEXT, lengthBytes)
            .extract();
  }

  static boolean isUnproven(Throwable failure) {
    return failure instanceof Unproven;
  }

  /// The server goes on without the key.
  private static final class Unproven extends TlsFatalAlert {
    private static final long serialVersionUID = 1L;

    Unproven() {
      super(AlertDescription.handshake_failure);
    }
  }
}
