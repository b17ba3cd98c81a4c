package io.ublkbridge.nbd;

import io.ublkbridge.target.TargetOpenException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Signature;
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
    List<X509Certificate> chain = read(CERTIFICATE).certificates();
    if (!isPair(secret, chain.getFirst().getPublicKey())) {
      throw SecretFile.failed(
          CERTIFICATE + " and " + KEY + " in " + path + " are not a pair",
          "put the key there that the certificate was made for",
          null);
    }
    return Optional.of(new Client(chain, secret));
  }

  /// Whether one verifies what the other has signed. Better found out here than by a server that
  /// closes the connection.
  private static boolean isPair(PrivateKey secret, PublicKey known) {
    String algorithm =
        switch (secret.getAlgorithm()) {
          case "RSA" -> "SHA256withRSA";
          case "EC" -> "SHA256withECDSA";
          case "EdDSA" -> "EdDSA";
          default -> "";
        };
    if (algorithm.isEmpty()) {
      return true;
    }
    try {
      Signature signature = Signature.getInstance(algorithm);
      signature.initSign(secret);
      byte[] signed = signature.sign();
      signature.initVerify(known);
      return signature.verify(signed);
    } catch (GeneralSecurityException notOfOneKind) {
      return false;
    }
  }

  private PemFile read(String name) throws TargetOpenException {
    Path file = path.resolve(name);
    return PemFile.parse(file, SecretFile.read(file));
  }
}
