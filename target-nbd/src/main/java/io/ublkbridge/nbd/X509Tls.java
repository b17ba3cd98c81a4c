package io.ublkbridge.nbd;

import io.netty.channel.Channel;
import io.netty.channel.ChannelHandler;
import io.netty.handler.ssl.OpenSsl;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslHandler;
import io.netty.handler.ssl.SslProvider;
import io.netty.handler.ssl.util.InsecureTrustManagerFactory;
import io.netty.util.ReferenceCountUtil;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.io.IOException;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.cert.CertStore;
import java.security.cert.CollectionCertStoreParameters;
import java.security.cert.PKIXBuilderParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509CRL;
import java.security.cert.X509CertSelector;
import java.security.cert.X509Certificate;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import javax.net.ssl.CertPathTrustManagerParameters;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLSession;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509ExtendedTrustManager;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// TLS with certificates: by BoringSSL, or by the JDK where that has no native library. Whether the
/// server's certificate is good is for the JDK to say in both cases.
final class X509Tls implements TlsClient {
  private static final Logger LOG = LoggerFactory.getLogger(X509Tls.class);

  /// Alerts that are about who we are (RFC 8446, section 6.2).
  private static final Set<String> ABOUT_US =
      Set.of(
          "bad_certificate",
          "unsupported_certificate",
          "certificate_revoked",
          "certificate_expired",
          "certificate_unknown",
          "certificate_required",
          "unknown_ca",
          "access_denied");

  private final SslContext context;
  private final TlsSettings settings;
  private final Optional<String> peerName;

  /// Whether we have a certificate of our own.
  private final boolean certified;

  /// Who hears the secrets, if they are wanted and told.
  private final @Nullable KeyLog keyLog;

  private X509Tls(
      SslContext context,
      TlsSettings settings,
      Optional<String> peerName,
      boolean certified,
      @Nullable KeyLog keyLog) {
    this.context = context;
    this.keyLog = keyLog;
    this.settings = settings;
    this.peerName = peerName;
    this.certified = certified;
  }

  /// @param peerName whom the server's certificate must be for; empty only if it is not verified
  /// @param tellsKeys whether [#recordKeys] are wanted
  static X509Tls load(TlsSettings settings, Optional<String> peerName, boolean tellsKeys)
      throws TargetOpenException {
    return load(settings, peerName, Implementation.CHOSEN, tellsKeys);
  }

  /// @param provider which implementation to use
  static X509Tls load(
      TlsSettings settings, Optional<String> peerName, SslProvider provider, boolean tellsKeys)
      throws TargetOpenException {
    Optional<CertificateDirectory> directory =
        settings.certificates().map(CertificateDirectory::new);
    Optional<CertificateDirectory.Client> client = Optional.empty();
    if (directory.isPresent()) {
      client = directory.get().client();
    }
    SslContextBuilder builder =
        SslContextBuilder.forClient().sslProvider(provider).protocols("TLSv1.3", "TLSv1.2");
    if (settings.verifyPeer()) {
      String name = peerName.orElseThrow();
      builder.trustManager(verifier(directory, name)).endpointIdentificationAlgorithm("HTTPS");
    } else {
      builder
          .trustManager(InsecureTrustManagerFactory.INSTANCE)
          .endpointIdentificationAlgorithm(null);
    }
    client.ifPresent(
        own -> builder.keyManager(own.key(), own.chain().toArray(X509Certificate[]::new)));
    try {
      SslContext context = builder.build();
      return new X509Tls(
          context, settings, peerName, client.isPresent(), tellsKeys ? KeyLog.of(context) : null);
    } catch (SSLException | IllegalArgumentException e) {
      throw SecretFile.failed(
          "the certificates in "
              + directory.orElseThrow().path()
              + " cannot be used: "
              + e.getMessage(),
          "are client-cert.pem and client-key.pem a pair?",
          e);
    }
  }

  /// Which implementation this host has; found out, and said, once.
  private static final class Implementation {
    static final SslProvider CHOSEN = choose();

    private Implementation() {}

    private static SslProvider choose() {
      if (OpenSsl.isAvailable()) {
        return SslProvider.OPENSSL_REFCNT;
      }
      LOG.info(
          "TLS is done by the JDK, which is slower: no native library ({})",
          String.valueOf(OpenSsl.unavailabilityCause()));
      return SslProvider.JDK;
    }
  }

  private static PeerVerifier verifier(Optional<CertificateDirectory> directory, String peerName)
      throws TargetOpenException {
    if (directory.isEmpty()) {
      return new PeerVerifier(
          pkix(SystemAuthorities.read(), List.of()),
          peerName,
          "name the directory of the server's CA: --tls-certificates DIR");
    }
    CertificateDirectory files = directory.get();
    return new PeerVerifier(
        pkix(files.authorities(), files.revocationLists()),
        peerName,
        "is " + files.path().resolve("ca-cert.pem") + " the server's CA?");
  }

  private static X509ExtendedTrustManager pkix(
      List<X509Certificate> authorities, List<X509CRL> revocationLists) throws TargetOpenException {
    try {
      Set<TrustAnchor> anchors = new HashSet<>();
      for (X509Certificate authority : authorities) {
        anchors.add(new TrustAnchor(authority, null));
      }
      PKIXBuilderParameters parameters = new PKIXBuilderParameters(anchors, new X509CertSelector());
      // Only the lists at hand are asked: nothing is fetched in the middle of a handshake.
      parameters.setRevocationEnabled(!revocationLists.isEmpty());
      parameters.addCertStore(
          CertStore.getInstance("Collection", new CollectionCertStoreParameters(revocationLists)));
      TrustManagerFactory factory = TrustManagerFactory.getInstance("PKIX");
      factory.init(new CertPathTrustManagerParameters(parameters));
      return (X509ExtendedTrustManager) factory.getTrustManagers()[0];
    } catch (GeneralSecurityException e) {
      throw SecretFile.failed("the CAs cannot be used: " + e.getMessage(), null, e);
    }
  }

  @Override
  public ChannelHandler newHandler(Channel channel) {
    SslHandler handler =
        peerName.isPresent()
            ? context.newHandler(channel.alloc(), peerName.get(), -1)
            : context.newHandler(channel.alloc());
    // The handshake phase has a deadline of its own.
    handler.setHandshakeTimeoutMillis(0);
    // Requests were gathered already; gathering them again would copy them.
    handler.setWrapDataSize(0);
    return handler;
  }

  @Override
  public TlsFacts facts(ChannelHandler handler) {
    SSLSession session = ((SslHandler) handler).engine().getSession();
    return new TlsFacts(
        session.getProtocol(),
        session.getCipherSuite(),
        TlsSettings.Mode.X509,
        settings.verifyPeer(),
        false);
  }

  @Override
  public @Nullable RecordKeys recordKeys(ChannelHandler handler) throws IOException {
    SSLSession session = ((SslHandler) handler).engine().getSession();
    return keyLog != null && session.getProtocol().equals("TLSv1.3")
        ? keyLog.take(session.getCipherSuite())
        : null;
  }

  @Override
  public TargetOpenException failure(Throwable failure, boolean handshaking) {
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      if (cause instanceof PeerVerifier.Refusal refusal) {
        return refusal.words();
      }
    }
    if (!TlsFailure.is(failure)) {
      return hungUp(handshaking, failure);
    }
    String alert = TlsFailure.alert(failure);
    return alert != null && ABOUT_US.contains(alert)
        ? refused(
            "the server "
                + (certified ? "refused our certificate: " : "wants a certificate of ours: ")
                + alert,
            failure)
        : TlsFailure.other(failure);
  }

  @Override
  public TargetOpenException hungUp(boolean handshaking, @Nullable Throwable cause) {
    if (handshaking) {
      return TlsFailure.closed(true, cause);
    }
    String what = "the server closed the connection right after the TLS handshake";
    return certified
        ? refused(what + ", perhaps because of our certificate", cause)
        : refused(what + ", perhaps for want of a certificate of ours", cause);
  }

  private TargetOpenException refused(String message, @Nullable Throwable cause) {
    return new TargetOpenException(
        Reason.REFUSED,
        message,
        certified
            ? "is our certificate signed by a CA that the server trusts, and in force?"
            : "put client-cert.pem and client-key.pem into "
                + settings.certificates().map(Path::toString).orElse("--tls-certificates DIR"),
        cause);
  }

  @Override
  public void close() {
    ReferenceCountUtil.release(context);
  }
}
