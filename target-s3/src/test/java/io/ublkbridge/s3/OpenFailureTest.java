package io.ublkbridge.s3;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.s3.FaultyProxy.Fault;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.UnknownHostException;
import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/// Whoever opens what cannot be opened is told why, and what kind of failure it is.
@Tag("real-time") // Its servers and clients wait in real seconds: see docs/testing.md.
final class OpenFailureTest {
  private static final S3Server SERVER = S3Server.start();

  static {
    SERVER.createBucket("images");
    SERVER.put("images", "disk.img", new byte[4096]);
    SERVER.put("images", "empty.img", new byte[0]);
    SERVER.put("images", "disk.img.zst", SeekableZstd.compress(new byte[4096]));
  }

  @AfterAll
  static void stop() {
    SERVER.close();
  }

  private static TargetOpenException refusal(String uri, Map<String, String> options) {
    TargetOpenException refusal =
        assertThrows(TargetOpenException.class, () -> OpenedImage.at(uri, options));
    String all = refusal.getMessage() + refusal.remedy();
    assertFalse(all.contains(S3Server.SECRET_KEY), all);
    return refusal;
  }

  private static void assertRefused(
      Reason reason, String words, String uri, Map<String, String> options) {
    TargetOpenException refusal = refusal(uri, options);
    assertTrue(String.valueOf(refusal.getMessage()).contains(words), refusal.getMessage());
    assertEquals(reason, refusal.reason());
  }

  @Test
  void noSuchBucket() {
    assertRefused(
        Reason.FAILED,
        "there is no bucket 'nowhere'",
        "s3://nowhere/disk.img",
        Stores.options(SERVER.url()));
  }

  @Test
  void noSuchKey() {
    assertRefused(
        Reason.FAILED,
        "there is no object 'none.img' in the bucket 'images'",
        "s3://images/none.img",
        Stores.options(SERVER.url()));
  }

  @Test
  void anEmptyObject() {
    assertRefused(
        Reason.UNSUPPORTED,
        "the object is empty",
        "s3://images/empty.img",
        Stores.options(SERVER.url()));
  }

  @Test
  void aCompressedImage() {
    assertRefused(
        Reason.UNSUPPORTED, "compressed", "s3://images/disk.img.zst", Stores.options(SERVER.url()));
  }

  @Test
  void noCredentialsForAStoreThatWantsSome() {
    assertRefused(
        Reason.REFUSED,
        "access is denied",
        "s3://images/disk.img",
        Stores.options(SERVER.url(), "no-sign-request", "true"));
  }

  @Test
  void aProfileThatIsNotThere() {
    TargetOpenException refusal =
        refusal("s3://images/disk.img", Stores.options(SERVER.url(), "profile", "nobody"));

    assertEquals(Reason.REFUSED, refusal.reason());
    assertTrue(
        String.valueOf(refusal.getMessage()).contains("there are no credentials"),
        refusal.getMessage());
    assertNotNull(refusal.remedy());
  }

  @Test
  void noRegion() {
    assertRefused(
        Reason.INVALID, "no region", "s3://images/disk.img", Map.of("path-style", "true"));
  }

  @Test
  void nobodyThere() throws IOException {
    int port;
    try (ServerSocket closed = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      port = closed.getLocalPort();
    }
    assertRefused(
        Reason.UNREACHABLE,
        "Connection refused",
        "s3://images/disk.img",
        Stores.options("http://127.0.0.1:" + port));
  }

  @Test
  void aNameWithoutAnAddress() {
    // Not asked for: some hosts take long to find out.
    StoreException failure =
        StoreErrors.of(
            new IOException("connect", new UnknownHostException("store.invalid")), "b", "k");

    assertEquals(Reason.UNREACHABLE, failure.kind().reason());
    assertEquals("the store's name has no address: store.invalid", failure.getMessage());
  }

  @Test
  void aStoreThatSpeaksNoTls() throws IOException {
    try (ServerSocket plain = answering("HTTP/1.1 400 Bad Request\r\n\r\n")) {
      assertRefused(
          Reason.REFUSED, "speaks no TLS", "s3://images/disk.img", Stores.options(https(plain)));
    }
  }

  @Test
  void aServerThatHangsUpOnEverybody() throws IOException {
    try (ServerSocket mute = answering("")) {
      assertRefused(
          Reason.UNREACHABLE,
          "no S3 server answers there",
          "s3://images/disk.img",
          Stores.options(https(mute)));
    }
  }

  private static String https(ServerSocket server) {
    return "https://127.0.0.1:" + server.getLocalPort();
  }

  /// A server that gives everybody the same answer to whatever they say first; none to hang up.
  private static ServerSocket answering(String answer) throws IOException {
    ServerSocket server = new ServerSocket(0, 8, InetAddress.getLoopbackAddress());
    Thread.ofVirtual()
        .start(() -> {
          while (true) {
            try (Socket client = server.accept()) {
              if (!answer.isEmpty() && client.getInputStream().read() >= 0) {
                client.getOutputStream().write(answer.getBytes(US_ASCII));
                client.getInputStream().transferTo(OutputStream.nullOutputStream());
              }
            } catch (IOException e) {
              if (server.isClosed()) {
                return;
              }
            }
          }
        });
    return server;
  }

  @Test
  void aBucketInAnotherRegion() throws IOException {
    assertAnswered(
        new Fault.Answer(301, "PermanentRedirect"), Reason.FAILED, "is in another region");
  }

  @Test
  void wrongSecret() throws IOException {
    assertAnswered(
        new Fault.Answer(403, "SignatureDoesNotMatch"),
        Reason.REFUSED,
        "the secret key is not that of the access key");
  }

  @Test
  void unknownAccessKey() throws IOException {
    assertAnswered(
        new Fault.Answer(403, "InvalidAccessKeyId"),
        Reason.REFUSED,
        "the store does not know the access key");
  }

  @Test
  void anArchivedObject() throws IOException {
    assertAnswered(
        new Fault.Answer(403, "InvalidObjectState"), Reason.UNSUPPORTED, "the object is archived");
  }

  @Test
  void aStoreThatKnowsNoRanges() throws IOException {
    assertAnswered(
        new Fault.Header("Content-Range", "bytes */7"),
        Reason.UNSUPPORTED,
        "cannot serve a part of an object");
  }

  @Test
  void aStoreWithoutETags() throws IOException {
    assertAnswered(
        new Fault.Header("ETag", "W/\"weak\""), Reason.UNSUPPORTED, "the store tells no ETag");
  }

  private static void assertAnswered(Fault fault, Reason reason, String words) throws IOException {
    try (FaultyProxy proxy = FaultyProxy.before(SERVER)) {
      proxy.plan(_ -> fault);
      assertRefused(reason, words, "s3://images/disk.img", Stores.options(proxy.url()));
    }
  }

  @Test
  void aStoreThatNeverAnswersInTime() throws IOException {
    try (FaultyProxy proxy = FaultyProxy.before(SERVER)) {
      proxy.plan(_ -> new Fault.Stall(0));
      TargetOpenException refusal =
          assertThrows(
              TargetOpenException.class,
              () ->
                  OpenedImage.within(
                      Duration.ofSeconds(2), "s3://images/disk.img", Stores.options(proxy.url())));

      assertEquals(Reason.TIMED_OUT, refusal.reason());
    }
  }

  @Test
  void whatPassesInAMomentIsWaitedFor() throws Exception {
    try (FaultyProxy proxy = FaultyProxy.before(SERVER)) {
      proxy.plan(
          request -> request.number() < 2 ? new Fault.Answer(503, "SlowDown") : new Fault.None());
      try (OpenedImage image =
          OpenedImage.at("s3://images/disk.img", Stores.options(proxy.url()))) {
        assertEquals(3, image.detail("gets"));
      }
    }
  }

  @Test
  void optionsThatMakeNoSense() {
    for (String[] wrong :
        new String[][] {
          {"endpoint-url", "ftp://host"},
          {"endpoint-url", "http://user:pass@host"},
          {"endpoint-url", "http://host/?x=1"},
          {"io-timeout", "0"},
          {"loss-timeout", "soon"}
        }) {
      TargetOpenException refusal =
          refusal("s3://images/disk.img", Stores.options("http://127.0.0.1:1", wrong));
      assertEquals(Reason.INVALID, refusal.reason(), wrong[1]);
      assertFalse(String.valueOf(refusal.getMessage()).contains("pass@"), "a secret is shown");
    }
  }
}
