package io.ublkbridge.s3;

import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.util.Collection;
import java.util.List;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import org.jspecify.annotations.Nullable;

/// Which CAs a store's certificate may come from: those in the file that `AWS_CA_BUNDLE` names, as
/// for AWS's own tools; else those that this host trusts; else the JDK's.
final class StoreTrust {
  static final String BUNDLE_VARIABLE = "AWS_CA_BUNDLE";

  /// Debian; Fedora; SUSE; Alpine.
  private static final List<Path> HOST_BUNDLES =
      List.of(
          Path.of("/etc/ssl/certs/ca-certificates.crt"),
          Path.of("/etc/pki/tls/certs/ca-bundle.crt"),
          Path.of("/etc/ssl/ca-bundle.pem"),
          Path.of("/etc/ssl/cert.pem"));

  private StoreTrust() {}

  /// @param bundle the variable's value, or null
  static TrustManager[] managers(@Nullable String bundle) throws TargetOpenException {
    if (bundle != null && !bundle.isEmpty()) {
      return managers(Path.of(bundle));
    }
    for (Path host : HOST_BUNDLES) {
      if (Files.isReadable(host)) {
        return managers(host);
      }
    }
    return managers((Path) null);
  }

  private static TrustManager[] managers(@Nullable Path file) throws TargetOpenException {
    try {
      TrustManagerFactory factory = TrustManagerFactory.getInstance("PKIX");
      factory.init(file == null ? null : authorities(file));
      return factory.getTrustManagers();
    } catch (IOException | GeneralSecurityException e) {
      throw new TargetOpenException(
          Reason.FAILED,
          "cannot read the CAs in " + file + ": " + e.getMessage(),
          BUNDLE_VARIABLE + " names a file of certificates in PEM",
          e);
    }
  }

  private static KeyStore authorities(Path file) throws IOException, GeneralSecurityException {
    KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
    store.load(null, null);
    Collection<? extends Certificate> certificates;
    try (InputStream in = Files.newInputStream(file)) {
      certificates = CertificateFactory.getInstance("X.509").generateCertificates(in);
    }
    if (certificates.isEmpty()) {
      throw new GeneralSecurityException("there is no certificate in it");
    }
    int number = 0;
    for (Certificate certificate : certificates) {
      store.setCertificateEntry("ca-" + number++, certificate);
    }
    return store;
  }
}
