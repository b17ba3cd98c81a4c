package io.ublkbridge.nbd;

import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.net.Socket;
import java.security.cert.CertPathBuilderException;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertPathValidatorException.BasicReason;
import java.security.cert.CertificateException;
import java.security.cert.CertificateExpiredException;
import java.security.cert.CertificateNotYetValidException;
import java.security.cert.CertificateParsingException;
import java.security.cert.PKIXReason;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.X509ExtendedTrustManager;
import org.jspecify.annotations.Nullable;

/// Has the platform judge the server's certificate, and puts a refusal into words.
final class PeerVerifier extends X509ExtendedTrustManager {
  /// A certificate that was refused, with what to tell people.
  static final class Refusal extends CertificateException {
    private static final long serialVersionUID = 1L;

    private final TargetOpenException words;

    Refusal(TargetOpenException words, CertificateException cause) {
      super(words.getMessage(), cause);
      this.words = words;
    }

    TargetOpenException words() {
      return words;
    }
  }

  private final X509ExtendedTrustManager platform;
  private final String peerName;
  private final String authorityRemedy;

  /// @param platform also checks that the certificate is for the engine's peer
  /// @param peerName whom the certificate must be for
  /// @param authorityRemedy what to try if the server's CA is not known
  PeerVerifier(X509ExtendedTrustManager platform, String peerName, String authorityRemedy) {
    this.platform = platform;
    this.peerName = peerName;
    this.authorityRemedy = authorityRemedy;
  }

  @Override
  public void checkServerTrusted(X509Certificate[] chain, String type, SSLEngine engine)
      throws CertificateException {
    try {
      platform.checkServerTrusted(chain, type, engine);
    } catch (CertificateException e) {
      throw new Refusal(words(chain, e), e);
    }
  }

  private TargetOpenException words(X509Certificate[] chain, CertificateException refusal) {
    for (Throwable cause = refusal; cause != null; cause = cause.getCause()) {
      switch (cause) {
        case CertificateExpiredException _ -> {
          return outOfDate(chain, refusal);
        }
        case CertificateNotYetValidException _ -> {
          return outOfDate(chain, refusal);
        }
        case CertPathValidatorException e -> {
          TargetOpenException words = words(chain, e, refusal);
          if (words != null) {
            return words;
          }
        }
        case CertPathBuilderException _ -> {
          return unknownAuthority(chain, refusal);
        }
        default -> {}
      }
    }
    // Every fault in the chain has a cause; what has none is the name.
    return refusal.getClass() == CertificateException.class && refusal.getCause() == null
        ? wrongName(chain, refusal)
        : refused(
            "is not acceptable: " + ServerText.clean(String.valueOf(refusal.getMessage())),
            "give the server another one",
            refusal);
  }

  private @Nullable TargetOpenException words(
      X509Certificate[] chain, CertPathValidatorException why, CertificateException refusal) {
    CertPathValidatorException.Reason reason = why.getReason();
    if (reason == BasicReason.EXPIRED || reason == BasicReason.NOT_YET_VALID) {
      return outOfDate(chain, refusal);
    }
    if (reason == BasicReason.REVOKED) {
      return refused("was revoked", "give the server a new one", refusal);
    }
    if (reason == BasicReason.UNDETERMINED_REVOCATION_STATUS) {
      return refused(
          "may be revoked: ca-crl.pem has no list of its CA that is in force",
          "renew ca-crl.pem, or remove it",
          refusal);
    }
    if (reason == PKIXReason.NO_TRUST_ANCHOR || reason == BasicReason.INVALID_SIGNATURE) {
      return unknownAuthority(chain, refusal);
    }
    return null;
  }

  private static TargetOpenException outOfDate(
      X509Certificate[] chain, CertificateException refusal) {
    String remedy = "renew it on the server; is this host's clock right?";
    for (X509Certificate certificate : chain) {
      try {
        certificate.checkValidity();
      } catch (CertificateExpiredException e) {
        return refused("expired on " + day(certificate.getNotAfter()), remedy, refusal);
      } catch (CertificateNotYetValidException e) {
        return refused("is valid only from " + day(certificate.getNotBefore()), remedy, refusal);
      }
    }
    return refused("bears the signature of a CA whose own has expired", remedy, refusal);
  }

  private static String day(Date date) {
    return date.toInstant().toString().substring(0, "2026-11-24".length());
  }

  private TargetOpenException unknownAuthority(
      X509Certificate[] chain, CertificateException refusal) {
    String issuer = ServerText.clean(chain[0].getIssuerX500Principal().toString());
    return refused(
        "is signed by a CA that is not trusted here: " + issuer, authorityRemedy, refusal);
  }

  private TargetOpenException wrongName(X509Certificate[] chain, CertificateException refusal) {
    List<String> names = names(chain[0]);
    return refused(
        "is "
            + (names.isEmpty() ? "for nobody by name" : "for " + String.join(", ", names))
            + ", not for "
            + peerName,
        names.isEmpty()
            ? "give the server a certificate with a subjectAltName"
            : "if that is the server meant: --tls-hostname " + names.getFirst(),
        refusal);
  }

  /// The DNS names and addresses that a certificate is for.
  private static List<String> names(X509Certificate certificate) {
    List<String> names = new ArrayList<>();
    try {
      var alternatives = certificate.getSubjectAlternativeNames();
      if (alternatives != null) {
        for (List<?> alternative : alternatives) {
          if (alternative.get(1) instanceof String name && names.size() < 8) {
            names.add(ServerText.clean(name));
          }
        }
      }
    } catch (CertificateParsingException damaged) {
      names.clear();
    }
    return names;
  }

  private static TargetOpenException refused(
      String what, @Nullable String remedy, CertificateException cause) {
    return new TargetOpenException(
        Reason.REFUSED, "the server's certificate " + what, remedy, cause);
  }

  @Override
  public void checkServerTrusted(X509Certificate[] chain, String type, Socket socket)
      throws CertificateException {
    throw new CertificateException("no engine to check the server's name by");
  }

  @Override
  public void checkServerTrusted(X509Certificate[] chain, String type) throws CertificateException {
    throw new CertificateException("no engine to check the server's name by");
  }

  @Override
  public void checkClientTrusted(X509Certificate[] chain, String type, Socket socket)
      throws CertificateException {
    throw new CertificateException("this is a client");
  }

  @Override
  public void checkClientTrusted(X509Certificate[] chain, String type, SSLEngine engine)
      throws CertificateException {
    throw new CertificateException("this is a client");
  }

  @Override
  public void checkClientTrusted(X509Certificate[] chain, String type) throws CertificateException {
    throw new CertificateException("this is a client");
  }

  @Override
  public X509Certificate[] getAcceptedIssuers() {
    return platform.getAcceptedIssuers();
  }
}
