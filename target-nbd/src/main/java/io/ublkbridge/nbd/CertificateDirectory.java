package io.ublkbridge.nbd;

import io.ublkbridge.target.TargetOpenException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.PrivateKey;
import java.security.cert.X509CRL;
import java.security.cert.X509Certificate;
import java.util.List;
import java.util.Optional;

/// A directory of PEM files, named as libnbd, qemu and nbdkit name them:
///
/// | file | what |
/// |---|---|
/// | `ca-cert.pem` | whose signature the server's certificate must bear |
/// | `ca-crl.pem` | which certificates are revoked; need not be there |
/// | `client-cert.pem`, `client-key.pem` | our own certificate and key; both or neither |
record CertificateDirectory(Path path) {
  private static final String CA = "ca-cert.pem";
  private static final String CRL = "ca-crl.pem";
  private static final String CERTIFICATE = "client-cert.pem";
  private static final String KEY = "client-key.pem";

  /// Our certificate, the one that the key is of first.
  record Client(List<X509Certificate> chain, PrivateKey key) {}

  List<X509Certificate> authorities() throws TargetOpenException {
    if (!Files.isDirectory(path)) {
      throw SecretFile.failed(path + " is not a directory", "name the one with " + CA, null);
    }
    return read(CA).certificates();
  }

  List<X509CRL> revocationLists() throws TargetOpenException {
    return Files.exists(path.resolve(CRL)) ? read(CRL).revocationLists() : List.of();
  }

  Optional<Client> client() throws TargetOpenException {
    boolean certificate = Files.exists(path.resolve(CERTIFICATE));
    boolean key = Files.exists(path.resolve(KEY));
    if (certificate != key) {
      throw SecretFile.failed(
          path.resolve(certificate ? CERTIFICATE : KEY)
              + " is of no use without "
              + (certificate ? KEY : CERTIFICATE),
          "put both there, or neither",
          null);
    }
    if (!certificate) {
      return Optional.empty();
    }
    Path file = path.resolve(KEY);
    PrivateKey secret = PemFile.parse(file, SecretFile.readPrivate(file)).privateKey();
    return Optional.of(new Client(read(CERTIFICATE).certificates(), secret));
  }

  private PemFile read(String name) throws TargetOpenException {
    Path file = path.resolve(name);
    return PemFile.parse(file, SecretFile.read(file));
  }
}
