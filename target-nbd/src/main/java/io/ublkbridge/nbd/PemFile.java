package io.ublkbridge.nbd;

import io.ublkbridge.target.TargetOpenException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.cert.CRLException;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509CRL;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.asn1.pkcs.RSAPrivateKey;
import org.bouncycastle.asn1.sec.ECPrivateKey;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x9.X9ObjectIdentifiers;

/// The blocks of a PEM file (RFC 7468); text around them is ignored.
///
/// @param path for messages
record PemFile(Path path, List<Block> blocks) {
  private static final Pattern BLOCK =
      Pattern.compile("-----BEGIN ([A-Z0-9 ]+)-----\\s(.*?)-----END \\1-----", Pattern.DOTALL);

  /// One block: what it is called, and what is between its lines, which may be a secret.
  record Block(String label, String body) {
    @Override
    public String toString() {
      return label;
    }
  }

  static PemFile parse(Path path, String text) {
    List<Block> blocks = new ArrayList<>();
    Matcher matcher = BLOCK.matcher(text);
    while (matcher.find()) {
      blocks.add(new Block(matcher.group(1), matcher.group(2)));
    }
    return new PemFile(path, List.copyOf(blocks));
  }

  /// All certificates, in the file's order; at least one.
  List<X509Certificate> certificates() throws TargetOpenException {
    List<X509Certificate> certificates = new ArrayList<>();
    try {
      CertificateFactory factory = CertificateFactory.getInstance("X.509");
      for (Block block : blocks) {
        if (block.label.endsWith("CERTIFICATE")) {
          ByteArrayInputStream der = new ByteArrayInputStream(der(block));
          certificates.add((X509Certificate) factory.generateCertificate(der));
        }
      }
    } catch (CertificateException e) {
      throw SecretFile.failed(
          path + " holds a certificate that cannot be read: " + e.getMessage(), null, e);
    }
    if (certificates.isEmpty()) {
      throw SecretFile.failed(path + " holds no certificate in PEM format", null, null);
    }
    return certificates;
  }

  /// All lists of revoked certificates; at least one.
  List<X509CRL> revocationLists() throws TargetOpenException {
    List<X509CRL> lists = new ArrayList<>();
    try {
      CertificateFactory factory = CertificateFactory.getInstance("X.509");
      for (Block block : blocks) {
        if (block.label.equals("X509 CRL")) {
          lists.add((X509CRL) factory.generateCRL(new ByteArrayInputStream(der(block))));
        }
      }
    } catch (CertificateException | CRLException e) {
      throw SecretFile.failed(
          path + " holds a revocation list that cannot be read: " + e.getMessage(), null, e);
    }
    if (lists.isEmpty()) {
      throw SecretFile.failed(path + " holds no revocation list in PEM format", null, null);
    }
    return lists;
  }

  /// The first private key, in any of the three ways that tools write them.
  PrivateKey privateKey() throws TargetOpenException {
    for (Block block : blocks) {
      if (block.label.endsWith("PRIVATE KEY")) {
        if (block.label.startsWith("ENCRYPTED") || block.body.contains("ENCRYPTED")) {
          throw SecretFile.failed(
              path + " is encrypted, and nobody is there to type a passphrase",
              "openssl pkey -in " + path + " -out a file without passphrase, mode 600",
              null);
        }
        try {
          return privateKey(block);
        } catch (GeneralSecurityException | IOException | IllegalArgumentException e) {
          // Whatever those say might quote the key.
          throw SecretFile.failed(path + " holds a key that cannot be read", null, null);
        }
      }
    }
    throw SecretFile.failed(path + " holds no private key in PEM format", null, null);
  }

  private PrivateKey privateKey(Block block)
      throws TargetOpenException, GeneralSecurityException, IOException {
    byte[] der = der(block);
    PrivateKeyInfo info =
        switch (block.label) {
          case "RSA PRIVATE KEY" ->
              new PrivateKeyInfo(
                  new AlgorithmIdentifier(PKCSObjectIdentifiers.rsaEncryption),
                  RSAPrivateKey.getInstance(der));
          case "EC PRIVATE KEY" -> {
            ECPrivateKey key = ECPrivateKey.getInstance(der);
            yield new PrivateKeyInfo(
                new AlgorithmIdentifier(
                    X9ObjectIdentifiers.id_ecPublicKey, key.getParametersObject()),
                key);
          }
          default -> PrivateKeyInfo.getInstance(der);
        };
    ASN1ObjectIdentifier algorithm = info.getPrivateKeyAlgorithm().getAlgorithm();
    return KeyFactory.getInstance(algorithm.getId())
        .generatePrivate(new PKCS8EncodedKeySpec(info.getEncoded()));
  }

  private byte[] der(Block block) throws TargetOpenException {
    try {
      return Base64.getMimeDecoder().decode(block.body);
    } catch (IllegalArgumentException e) {
      throw SecretFile.failed("the " + block.label + " in " + path + " is damaged", null, null);
    }
  }
}
