package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.Refusals.assertRefusal;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.nbd.TestPki.Holder;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import io.ublkbridge.target.TargetUri;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.time.Duration;
import java.util.Optional;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.asn1.sec.ECPrivateKey;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Files of keys and certificates: which are taken, and what people are told about the others.
final class TlsFilesTest {
  @TempDir Path dir;

  private static void assertFailed(String words, Executable action) {
    assertRefusal(Reason.FAILED, words, assertThrows(TargetOpenException.class, action));
  }

  // Pre-shared keys.

  private PskFile keys(String text) {
    return new PskFile(TestPki.secret(dir.resolve("keys.psk"), text));
  }

  @Test
  void aKeyIsFoundByItsUser() throws Exception {
    PskFile file = keys("# made by hand\r\n\r\nbob:00\r\nal:ice:0aFF\r\nälice:0b\n");
    assertArrayEquals(new byte[] {0}, file.keyOf("bob"));
    assertArrayEquals(new byte[] {10, -1}, file.keyOf("al:ice"));
    assertArrayEquals(new byte[] {11}, file.keyOf("älice"));
    assertFailed("holds no key of user 'carol'", () -> file.keyOf("carol"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"alice", "alice:", "alice:0", "alice:0g", "alice: 00 11", ":00"})
  void aLineThatIsNoKey(String line) {
    assertFailed("line 2 of " + dir, () -> keys("bob:00\n" + line + "\n").keyOf("alice"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"rw-r-----", "rw----r--", "rw-r--r--", "rw--w----"})
  void aKeyThatOthersCanReadIsNoSecret(String permissions) {
    PskFile file = keys("alice:00\n");
    TestPki.mode(file.path(), permissions);
    assertFailed("others than its owner have access to it", () -> file.keyOf("alice"));
    TestPki.mode(file.path(), "r--------");
    assertFailed("holds no key of user 'bob'", () -> file.keyOf("bob"));
  }

  @Test
  void aMissingFile() {
    assertFailed("there is no " + dir, () -> new PskFile(dir.resolve("none")).keyOf("alice"));
    assertFailed("cannot read " + dir, () -> new PskFile(secretDirectory()).keyOf("alice"));
  }

  private Path secretDirectory() {
    TestPki.mode(dir, "rwx------");
    return dir;
  }

  // Certificates.

  @Test
  void aDirectoryIsReadWithOrWithoutOurCertificate() throws Exception {
    TestPki pki = new TestPki("CA");
    CertificateDirectory directory = new CertificateDirectory(pki.directory(dir));
    assertEquals(1, directory.authorities().size());
    assertEquals(Optional.empty(), directory.client());
    assertTrue(directory.revocationLists().isEmpty());
    Holder client = pki.client();
    pki.directory(dir, client);
    assertEquals(client.keys().getPrivate(), directory.client().orElseThrow().key());
    assertEquals(client.certificate(), directory.client().orElseThrow().chain().getFirst());
  }

  @ParameterizedTest
  @CsvSource({
    "client-key.pem, client-cert.pem is of no use without client-key.pem",
    "client-cert.pem, client-key.pem is of no use without client-cert.pem",
    "ca-cert.pem, there is no"
  })
  void aFileThatMissesItsOther(String missing, String words) throws Exception {
    TestPki pki = new TestPki("CA");
    pki.directory(dir, pki.client());
    Files.delete(dir.resolve(missing));
    CertificateDirectory directory = new CertificateDirectory(dir);
    assertFailed(
        words,
        () -> {
          directory.authorities();
          directory.client();
        });
  }

  @Test
  void aDirectoryThatIsNone() {
    assertFailed(
        "is not a directory", () -> new CertificateDirectory(dir.resolve("none")).authorities());
  }

  @ParameterizedTest
  @ValueSource(strings = {"rw-r--r--", "rw-r-----"})
  void ourKeyIsASecret(String permissions) {
    TestPki pki = new TestPki("CA");
    CertificateDirectory directory = new CertificateDirectory(pki.directory(dir, pki.client()));
    TestPki.mode(dir.resolve("client-key.pem"), permissions);
    assertFailed("others than its owner have access to it", directory::client);
  }

  @Test
  void keysOfEveryKindAreRead() throws Exception {
    for (String algorithm : new String[] {"RSA", "EC", "Ed25519"}) {
      PrivateKey key = KeyPairGenerator.getInstance(algorithm).generateKeyPair().getPrivate();
      assertEquals(key, read(TestPki.pem("PRIVATE KEY", key.getEncoded())));
      PrivateKeyInfo info = PrivateKeyInfo.getInstance(key.getEncoded());
      byte[] inner = info.parsePrivateKey().toASN1Primitive().getEncoded();
      if (algorithm.equals("RSA")) {
        // As GnuTLS's certtool writes it, with remarks in front.
        String text = "Public Key Info:\n\tPublic Key Algorithm: RSÄ\n\n";
        assertEquals(key, read(text + TestPki.pem("RSA PRIVATE KEY", inner)));
      } else if (algorithm.equals("EC")) {
        ECPrivateKey old =
            new ECPrivateKey(
                384,
                ECPrivateKey.getInstance(inner).getKey(),
                info.getPrivateKeyAlgorithm().getParameters());
        String parameters = TestPki.pem("EC PARAMETERS", new byte[] {5, 0});
        PrivateKey read = read(parameters + TestPki.pem("EC PRIVATE KEY", old.getEncoded()));
        assertEquals(secret(key), secret(read));
      }
    }
  }

  /// Two encodings of one key are not equal to the JDK.
  private static BigInteger secret(PrivateKey key) {
    return ((java.security.interfaces.ECPrivateKey) key).getS();
  }

  private PrivateKey read(String text) throws TargetOpenException {
    return PemFile.parse(dir.resolve("key.pem"), text).privateKey();
  }

  @Test
  void aKeyThatCannotBeUsed() {
    assertFailed("holds no private key", () -> read("nothing"));
    assertFailed(
        "holds a key that cannot be read", () -> read(TestPki.pem("PRIVATE KEY", new byte[9])));
    assertFailed(
        "is damaged", () -> read("-----BEGIN PRIVATE KEY-----\nA\n-----END PRIVATE KEY-----\n"));
    assertFailed("is encrypted", () -> read(TestPki.pem("ENCRYPTED PRIVATE KEY", new byte[9])));
    assertFailed(
        "is encrypted",
        () ->
            read(
                """
                -----BEGIN RSA PRIVATE KEY-----
                Proc-Type: 4,ENCRYPTED

                AAAA
                -----END RSA PRIVATE KEY-----
                """));
  }

  @Test
  void certificatesThatCannotBeUsed() {
    Path file = dir.resolve("ca-cert.pem");
    assertFailed("holds no certificate", () -> PemFile.parse(file, "").certificates());
    assertFailed(
        "holds a certificate that cannot be read",
        () -> PemFile.parse(file, TestPki.pem("CERTIFICATE", new byte[9])).certificates());
    assertFailed("holds no revocation list", () -> PemFile.parse(file, "").revocationLists());
    assertFailed(
        "holds a revocation list that cannot be read",
        () -> PemFile.parse(file, TestPki.pem("X509 CRL", new byte[9])).revocationLists());
  }

  @Test
  void aCertificateAndAKeyThatAreNoPair() {
    TestPki pki = new TestPki("CA");
    Holder mixed = new Holder(pki.client().keys(), pki.client().certificate());
    CertificateDirectory directory = new CertificateDirectory(pki.directory(dir, mixed));
    assertFailed("are not a pair", directory::client);
  }

  /// As on a disk that hangs.
  @Test
  void aFileThatNeverAnswersDoesNotHoldUpTheDialer() throws Exception {
    Path file = dir.resolve("ca-cert.pem");
    assertEquals(0, new ProcessBuilder("mkfifo", file.toString()).start().waitFor());
    NbdUri uri = NbdUri.parse(TargetUri.parse("nbds://localhost/?tls-certificates=" + dir));
    assertRefusal(
        Reason.TIMED_OUT,
        "were not read within 100ms",
        assertThrows(TargetOpenException.class, () -> TlsClient.load(uri, Duration.ofMillis(100))));
    Files.newOutputStream(file).close();
  }

  @Test
  void thisHostHasAuthorities() throws Exception {
    assertTrue(SystemAuthorities.read().size() > 10);
  }
}
