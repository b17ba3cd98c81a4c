package io.ublkbridge.nbd;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Date;
import java.util.List;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import javax.security.auth.x500.X500Principal;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.CRLReason;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.GeneralName;
import org.bouncycastle.asn1.x509.GeneralNames;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509v2CRLBuilder;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.operator.ContentSigner;
import org.bouncycastle.operator.OperatorCreationException;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;

/// A CA made for one test, and what it signs.
final class TestPki {
  /// Somebody with a certificate.
  record Holder(KeyPair keys, X509Certificate certificate) {}

  private static final char[] NO_PASSWORD = new char[0];
  private static int serial = 1;

  final Holder authority;

  TestPki(String name) {
    KeyPair keys = keys();
    authority = new Holder(keys, sign(keys, name, keys, name, true, days(-1), days(1), List.of()));
  }

  private static Instant days(int days) {
    return Instant.now().plus(Duration.ofDays(days));
  }

  /// For `localhost`, `127.0.0.1` and `db1.example.org`, or for other names.
  Holder server(String... names) {
    List<GeneralName> alternatives = new ArrayList<>();
    for (String name : names.length > 0 ? names : new String[] {"localhost", "127.0.0.1"}) {
      boolean address = name.matches("[0-9.]+|.*:.*");
      alternatives.add(
          new GeneralName(address ? GeneralName.iPAddress : GeneralName.dNSName, name));
    }
    return holder("server", days(-1), days(1), alternatives);
  }

  Holder client() {
    return holder("client", days(-1), days(1), List.of());
  }

  Holder expired() {
    return holder(
        "server", days(-9), days(-2), List.of(new GeneralName(GeneralName.dNSName, "localhost")));
  }

  Holder notYetValid() {
    return holder(
        "server", days(2), days(9), List.of(new GeneralName(GeneralName.dNSName, "localhost")));
  }

  private Holder holder(String name, Instant from, Instant to, List<GeneralName> alternatives) {
    KeyPair keys = keys();
    String issuer = authority.certificate().getSubjectX500Principal().getName().substring(3);
    return new Holder(
        keys, sign(authority.keys(), issuer, keys, name, false, from, to, alternatives));
  }

  private static KeyPair keys() {
    try {
      KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
      generator.initialize(256);
      return generator.generateKeyPair();
    } catch (GeneralSecurityException e) {
      throw new AssertionError(e);
    }
  }

  private static ContentSigner signer(KeyPair keys) throws OperatorCreationException {
    return new JcaContentSignerBuilder("SHA256withECDSA").build(keys.getPrivate());
  }

  private static X509Certificate sign(
      KeyPair issuerKeys,
      String issuer,
      KeyPair keys,
      String subject,
      boolean authority,
      Instant from,
      Instant to,
      List<GeneralName> alternatives) {
    try {
      JcaX509v3CertificateBuilder builder =
          new JcaX509v3CertificateBuilder(
              new X500Principal("CN=" + issuer),
              BigInteger.valueOf(serial++),
              Date.from(from),
              Date.from(to),
              new X500Principal("CN=" + subject),
              keys.getPublic());
      builder.addExtension(Extension.basicConstraints, true, new BasicConstraints(authority));
      if (!alternatives.isEmpty()) {
        builder.addExtension(
            Extension.subjectAlternativeName,
            false,
            new GeneralNames(alternatives.toArray(GeneralName[]::new)));
      }
      return new JcaX509CertificateConverter().getCertificate(builder.build(signer(issuerKeys)));
    } catch (Exception e) {
      throw new AssertionError(e);
    }
  }

  /// Writes `ca-cert.pem`, and the client's files if there is one.
  Path directory(Path directory, Holder... client) {
    try {
      Files.createDirectories(directory);
      write(directory.resolve("ca-cert.pem"), pem("CERTIFICATE", authority.certificate()));
      for (Holder holder : client) {
        write(directory.resolve("client-cert.pem"), pem("CERTIFICATE", holder.certificate()));
        secret(
            directory.resolve("client-key.pem"),
            pem("PRIVATE KEY", holder.keys().getPrivate().getEncoded()));
      }
      return directory;
    } catch (GeneralSecurityException | IOException e) {
      throw new AssertionError(e);
    }
  }

  /// A list in force that revokes certificates.
  String revocationList(Instant until, Holder... revoked) {
    try {
      JcaX509v2CRLBuilder builder =
          new JcaX509v2CRLBuilder(
              authority.certificate().getSubjectX500Principal(), Date.from(days(-1)));
      builder.setNextUpdate(Date.from(until));
      for (Holder holder : revoked) {
        builder.addCRLEntry(
            holder.certificate().getSerialNumber(), Date.from(days(-1)), CRLReason.keyCompromise);
      }
      return pem("X509 CRL", builder.build(signer(authority.keys())).getEncoded());
    } catch (OperatorCreationException | IOException e) {
      throw new AssertionError(e);
    }
  }

  static String pem(String label, Certificate certificate) throws GeneralSecurityException {
    return pem(label, certificate.getEncoded());
  }

  static String pem(String label, byte[] der) {
    String body = Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(der);
    return "-----BEGIN " + label + "-----\n" + body + "\n-----END " + label + "-----\n";
  }

  static void write(Path path, String text) {
    try {
      Files.writeString(path, text);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /// Writes a file that only its owner may read.
  static Path secret(Path path, String text) {
    write(path, text);
    mode(path, "rw-------");
    return path;
  }

  static void mode(Path path, String permissions) {
    try {
      Files.setPosixFilePermissions(path, PosixFilePermissions.fromString(permissions));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /// What a server with a certificate needs.
  ///
  /// @param clients who may sign the clients' certificates
  static SSLContext context(Holder server, TestPki clients) {
    try {
      KeyStore own = KeyStore.getInstance("PKCS12");
      own.load(null, NO_PASSWORD);
      own.setKeyEntry(
          "server",
          server.keys().getPrivate(),
          NO_PASSWORD,
          new Certificate[] {server.certificate()});
      KeyManagerFactory keyManagers = KeyManagerFactory.getInstance("PKIX");
      keyManagers.init(own, NO_PASSWORD);
      KeyStore trusted = KeyStore.getInstance("PKCS12");
      trusted.load(null, NO_PASSWORD);
      trusted.setCertificateEntry("ca", clients.authority.certificate());
      TrustManagerFactory trustManagers = TrustManagerFactory.getInstance("PKIX");
      trustManagers.init(trusted);
      SSLContext context = SSLContext.getInstance("TLS");
      context.init(keyManagers.getKeyManagers(), trustManagers.getTrustManagers(), null);
      return context;
    } catch (GeneralSecurityException | IOException e) {
      throw new AssertionError(e);
    }
  }
}
