package io.ublkbridge.nbd;

import io.ublkbridge.target.TargetOpenException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.List;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

/// The CAs that this host trusts: what `update-ca-certificates` and its like maintain, or the JDK's
/// own list where there is no such file.
final class SystemAuthorities {
  /// Debian; Fedora; SUSE; Alpine.
  private static final List<Path> BUNDLES =
      List.of(
          Path.of("/etc/ssl/certs/ca-certificates.crt"),
          Path.of("/etc/pki/tls/certs/ca-bundle.crt"),
          Path.of("/etc/ssl/ca-bundle.pem"),
          Path.of("/etc/ssl/cert.pem"));

  private SystemAuthorities() {}

  static List<X509Certificate> read() throws TargetOpenException {
    for (Path bundle : BUNDLES) {
      if (Files.isReadable(bundle)) {
        return PemFile.parse(bundle, SecretFile.read(bundle)).certificates();
      }
    }
    try {
      TrustManagerFactory factory = TrustManagerFactory.getInstance("PKIX");
      factory.init((KeyStore) null);
      List<X509Certificate> certificates = new ArrayList<>();
      for (TrustManager manager : factory.getTrustManagers()) {
        certificates.addAll(List.of(((X509TrustManager) manager).getAcceptedIssuers()));
      }
      return certificates;
    } catch (GeneralSecurityException e) {
      throw SecretFile.failed(
          "this host's CAs cannot be read: " + e.getMessage(),
          "name the directory of the server's CA: --tls-certificates DIR",
          e);
    }
  }
}
