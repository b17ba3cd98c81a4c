package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.device.QueueLoops;
import io.ublkbridge.device.TargetRegistry;
import io.ublkbridge.it.NbdServer.Kind;
import io.ublkbridge.it.SecureServer.Proof;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import io.ublkbridge.target.TargetUri;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/// TLS with every server, on every kind of socket, by every kind of proof; and what a person is
/// told when the two sides do not want each other.
final class TlsIT {
  private static final List<Proof> NBD_SERVERS_ONLY = List.of(Proof.BOTH_CERTIFICATES);

  private static TlsFiles files = new TlsFiles(Path.of(""));

  @TempDir Path dir;
  private Path image = Path.of("");

  @BeforeAll
  static void makeFiles() {
    files = TlsFiles.make();
  }

  @BeforeEach
  void makeImage() {
    image = dir.resolve("disk.img");
    Command.shell("truncate -s 16M " + image);
  }

  private static String certificates(String name) {
    return "tls-certificates=" + files.directory(name);
  }

  private static String keys(String name) {
    return "tls-psk-file=" + files.keys(name);
  }

  private SecureServer serve(Kind kind, Proof proof, boolean unix) {
    return SecureServer.serve(kind, proof, unix, image, files.directory("good"));
  }

  /// All the ways that a server can be used, at the same time: waiting is what takes long here.
  @ParameterizedTest
  @EnumSource(Kind.class)
  void keepsWhatWasWritten(Kind kind) {
    List<AutoCloseable> open = new ArrayList<>();
    StringBuilder jobs = new StringBuilder();
    try {
      for (Proof proof : kind == Kind.NBD_SERVER ? NBD_SERVERS_ONLY : List.of(Proof.values())) {
        for (boolean unix : new boolean[] {false, true}) {
          Path own = dir.resolve(proof + (unix ? ".unix" : ".tcp"));
          Command.shell("truncate -s 16M " + own);
          SecureServer server = SecureServer.serve(kind, proof, unix, own, files.directory("good"));
          open.addFirst(server);
          Disk disk = Disk.serve(uri(server, proof));
          open.addFirst(disk);
          jobs.append(" --name=")
              .append(own.getFileName())
              .append(" --filename=")
              .append(disk.path());
        }
      }
      String output =
          Command.shell(
              "fio --thread --rw=randrw --bsrange=512-512k --direct=1 --ioengine=libaio"
                  + " --iodepth=16 --size=2m --randseed=1 --verify=crc32c --verify_fatal=1"
                  + " --do_verify=1"
                  + jobs
                  + " 2>&1");
      assertFalse(output.contains("verify: bad"), output);
    } finally {
      open.forEach(TlsIT::close);
    }
  }

  private static String uri(SecureServer server, Proof proof) {
    return switch (proof) {
      case PSK -> server.uri("alice@", keys("good"));
      case BOTH_CERTIFICATES -> server.uri("", certificates("good") + "&tls-hostname=localhost");
      // By its address.
      case SERVER_CERTIFICATE ->
          server.uri("", certificates("nobody") + (server.unix() ? "&tls-hostname=127.0.0.1" : ""));
    };
  }

  private static void close(AutoCloseable opened) {
    try {
      opened.close();
    } catch (Exception e) {
      throw new AssertionError(e);
    }
  }

  private static TargetOpenException refusal(String uri) throws Exception {
    try (QueueLoops loops = new QueueLoops(1, 16)) {
      OpenContext context = new OpenContext(loops.loop(0), false, Duration.ofMinutes(1), Map.of());
      return assertThrows(
          TargetOpenException.class,
          () -> TargetRegistry.load().open(TargetUri.parse(uri), context).close());
    }
  }

  private static void assertRefused(String words, String uri) throws Exception {
    TargetOpenException refusal = refusal(uri);
    assertEquals(Reason.REFUSED, refusal.reason(), refusal.getMessage());
    assertTrue(String.valueOf(refusal.getMessage()).contains(words), refusal.getMessage());
  }

  @ParameterizedTest
  @EnumSource(Kind.class)
  void certificatesThatAreNotWanted(Kind kind) throws Exception {
    try (SecureServer server = serve(kind, Proof.BOTH_CERTIFICATES, false)) {
      assertRefused(
          "signed by a CA that is not trusted here: CN=the CA",
          server.uri("", certificates("elsewhere")));
      assertRefused(
          "is for localhost, 127.0.0.1, not for db1",
          server.uri("", certificates("good") + "&tls-hostname=db1"));
      assertRefused("a certificate of ours", server.uri("", certificates("nobody")));
      assertRefused("our certificate", server.uri("", certificates("stranger")));
      assertRefused("the server demands TLS", server.plainUri());
    }
  }

  /// Without qemu-nbd, which looks at its own certificate first and refuses to start.
  @ParameterizedTest
  @EnumSource(names = {"NBDKIT", "NBD_SERVER"})
  void expiredCertificate(Kind kind) throws Exception {
    try (SecureServer server =
        SecureServer.serve(
            kind, Proof.SERVER_CERTIFICATE, false, image, files.directory("expired"))) {
      assertRefused("expired on 2020-02-02", server.uri("", certificates("nobody")));
    }
  }

  @ParameterizedTest
  @CsvSource({"NBDKIT", "QEMU_NBD"})
  void keyThatIsNotWanted(Kind kind) throws Exception {
    try (SecureServer server = serve(kind, Proof.PSK, false)) {
      assertRefused("the key of user 'alice'", server.uri("alice@", keys("stranger")));
      assertRefused("the server demands TLS", server.plainUri());
    }
  }

  @ParameterizedTest
  @EnumSource(Kind.class)
  void serverWithoutTls(Kind kind) throws Exception {
    try (NbdServer server = NbdServer.serve(kind, image)) {
      String uri = server.uri().replaceFirst("nbd", "nbds");
      String more = uri.contains("?") ? "&tls-hostname=localhost" : "";
      assertRefused("the server has no TLS", uri + more);
    }
  }

  @Test
  void theCommandTakesOptions() {
    try (SecureServer server = serve(Kind.NBDKIT, Proof.SERVER_CERTIFICATE, false)) {
      Command info =
          Command.ublkBridge(
              "info",
              server.uri(""),
              "--json",
              "--tls-certificates",
              files.directory("nobody").toString());
      assertTrue(info.succeeded().output().contains("\"tlsPeerVerified\":true"), info.output());
      Command refused = Command.ublkBridge("info", server.uri("")).exited(8);
      assertTrue(refused.errors().contains("is not trusted here"), refused.errors());
      assertTrue(refused.errors().contains("--tls-certificates"), refused.errors());
      assertEquals(2, refused.errors().lines().count(), refused.errors());
    }
    try (SecureServer server = serve(Kind.NBDKIT, Proof.PSK, true)) {
      Command.ublkBridge(
              "info", server.uri("alice@"), "--tls-psk-file", files.keys("good").toString())
          .succeeded();
    }
  }
}
