package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import io.ublkbridge.device.QueueLoops;
import io.ublkbridge.device.TargetRegistry;
import io.ublkbridge.it.InteropServer.Proof;
import io.ublkbridge.it.InteropServer.Way;
import io.ublkbridge.it.NbdServer.Kind;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import io.ublkbridge.target.TargetUri;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/// What a person is told when the two sides of TLS do not want each other, by every server; and how
/// the command takes the options of TLS. That they work together where they do is [InteropIT]'s.
@Tag("linux-6.12")
final class TlsIT {
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

  private InteropServer serve(Kind kind, Proof proof, boolean unix) {
    return InteropServer.serve(new Way(kind, proof, unix), image, files.directory("good"));
  }

  /// On TCP, and in the long form on unix sockets too.
  static Stream<Arguments> kindsAndSockets() {
    Stream<Boolean> sockets = InteropIT.LONG ? Stream.of(false, true) : Stream.of(false);
    return sockets.flatMap(unix -> Stream.of(Kind.values()).map(kind -> arguments(kind, unix)));
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
  @MethodSource("kindsAndSockets")
  void certificatesThatAreNotWanted(Kind kind, boolean unix) throws Exception {
    String name = unix ? "&tls-hostname=localhost" : "";
    try (InteropServer server = serve(kind, Proof.BOTH_CERTIFICATES, unix)) {
      assertRefused(
          "signed by a CA that is not trusted here: CN=the CA",
          server.uri("", certificates("elsewhere") + name));
      assertRefused(
          "is for localhost, 127.0.0.1, not for db1",
          server.uri("", certificates("good") + "&tls-hostname=db1"));
      assertRefused("a certificate of ours", server.uri("", certificates("nobody") + name));
      assertRefused("our certificate", server.uri("", certificates("stranger") + name));
      assertRefused("the server demands TLS", server.plainUri());
    }
  }

  /// Without qemu-nbd, which looks at its own certificate first and refuses to start.
  @ParameterizedTest
  @EnumSource(names = {"NBDKIT", "NBD_SERVER"})
  void expiredCertificate(Kind kind) throws Exception {
    try (InteropServer server =
        InteropServer.serve(
            new Way(kind, Proof.SERVER_CERTIFICATE, false), image, files.directory("expired"))) {
      assertRefused("expired on 2020-02-02", server.uri("", certificates("nobody")));
    }
  }

  @ParameterizedTest
  @CsvSource({"NBDKIT", "QEMU_NBD"})
  void keyThatIsNotWanted(Kind kind) throws Exception {
    try (InteropServer server = serve(kind, Proof.PSK, false)) {
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

  /// The kernel has TLS for TCP only, and not for who does not want it.
  @Test
  void recordsAreTheKernelsWhereItCan() throws Exception {
    assertEquals("kernel", records(Proof.BOTH_CERTIFICATES, false, Map.of()));
    assertEquals("process", records(Proof.BOTH_CERTIFICATES, true, Map.of()));
    assertEquals(
        "process", records(Proof.BOTH_CERTIFICATES, false, Map.of("tls-records", "process")));
    assertEquals("kernel", records(Proof.PSK, false, Map.of()));
  }

  private Object records(Proof proof, boolean unix, Map<String, String> options) throws Exception {
    try (InteropServer server = serve(Kind.NBDKIT, proof, unix);
        ServedDisk disk = ServedDisk.serve(server.uri(files), options)) {
      Command.shell(
          "dd if=/dev/urandom of="
              + dir.resolve("some")
              + " bs=1M count=1"
              + " && dd if="
              + dir.resolve("some")
              + " of="
              + disk.path()
              + " oflag=direct bs=1M"
              + " && cmp -n 1048576 "
              + dir.resolve("some")
              + " "
              + disk.path());
      return disk.details().getOrDefault("tlsRecords", "nobody");
    }
  }

  @Test
  void theCommandTakesOptions() {
    try (InteropServer server = serve(Kind.NBDKIT, Proof.SERVER_CERTIFICATE, false)) {
      Command info =
          Command.ublkBridge(
              "info",
              server.uri(""),
              "--json",
              "--tls-certificates",
              files.directory("nobody").toString());
      assertTrue(info.succeeded().output().contains("\"tlsPeerVerified\":true"), info.output());
      assertTrue(info.output().contains("\"tlsRecords\":\"kernel\""), info.output());
      Command refused = Command.ublkBridge("info", server.uri("")).exited(8);
      assertTrue(refused.errors().contains("is not trusted here"), refused.errors());
      assertTrue(refused.errors().contains("--tls-certificates"), refused.errors());
      assertEquals(2, refused.errors().lines().count(), refused.errors());
    }
    try (InteropServer server = serve(Kind.NBDKIT, Proof.PSK, true)) {
      Command.ublkBridge(
              "info", server.uri("alice@"), "--tls-psk-file", files.keys("good").toString())
          .succeeded();
    }
  }
}
