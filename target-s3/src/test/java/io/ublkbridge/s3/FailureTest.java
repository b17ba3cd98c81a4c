package io.ublkbridge.s3;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.s3.FaultyProxy.Fault;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.RecordedRequest;
import io.ublkbridge.target.TargetOpenException;
import java.io.IOException;
import java.time.Duration;
import java.util.Arrays;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/// One test for each way in which a store's answer goes wrong once a disk is in use.
@Tag("real-time") // Its servers and clients wait in real seconds: see docs/testing.md.
final class FailureTest {
  private static final int LENGTH = 64 << 10;
  private static final byte[] IMAGE = S3ImageTest.bytes(1 << 20, 11);
  private static final S3Server SERVER = S3Server.start();
  private static final FaultyProxy PROXY = proxy();

  static {
    SERVER.createBucket("images");
  }

  private OpenedImage image;

  private static FaultyProxy proxy() {
    try {
      return FaultyProxy.before(SERVER);
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
  }

  FailureTest() throws TargetOpenException {
    SERVER.put("images", "disk.img", IMAGE);
    image = OpenedImage.at("s3://images/disk.img", options());
  }

  private static Map<String, String> options(String... more) {
    return Stores.options(PROXY.url(), more);
  }

  private static void heal() {
    PROXY.down(false);
    PROXY.plan(_ -> new Fault.None());
  }

  @AfterEach
  void close() {
    image.close();
    heal();
  }

  @AfterAll
  static void stop() throws IOException {
    PROXY.close();
    SERVER.close();
  }

  @Test
  void everyGetNamesTheObjectThatWasOpened() {
    int before = PROXY.requests().size();

    assertReads();

    FaultyProxy.Request request = PROXY.requests().get(before);
    assertEquals("bytes=4096-69631", request.header("range"));
    assertEquals(image.target().details().get("etag"), request.header("if-match"));
  }

  @Test
  void aReplacedObjectIsNeverMixedIn() {
    SERVER.put("images", "disk.img", S3ImageTest.bytes(1 << 20, 12));

    assertEquals(IoError.IO, failure("the object was replaced"));
    assertEquals(IoError.IO, failure("the object was replaced"));

    SERVER.put("images", "disk.img", IMAGE);
    assertReads();
  }

  @Test
  void aReplacedObjectIsNoticedWhereTheStoreIgnoresIfMatch() {
    PROXY.plan(_ -> new Fault.Header("ETag", "\"another\""));

    assertEquals(IoError.IO, failure("the object was replaced: its ETag is now \"another\""));
  }

  @Test
  void aDeletedObjectFailsReads() {
    SERVER.delete("images", "disk.img");

    assertEquals(IoError.IO, failure("there is no object 'disk.img' in the bucket 'images'"));
  }

  @Test
  void deniedAccessFailsReads() {
    PROXY.plan(_ -> new Fault.Answer(403, "AccessDenied"));

    assertEquals(IoError.IO, failure("access is denied (403 AccessDenied: by the proxy)"));

    heal();
    assertReads();
  }

  @Test
  void aRangeThatIsNotThereFailsReads() {
    PROXY.plan(_ -> new Fault.Answer(416, "InvalidRange"));

    assertEquals(IoError.IO, failure("the object has no such range"));
  }

  @Test
  void waitsWhileTheStoreAsksToSlowDown() {
    assertTriedAgain(new Fault.Answer(503, "SlowDown"));
    assertEquals(1, image.detail("throttles"));
  }

  @Test
  void waitsAfterTooManyRequests() {
    assertTriedAgain(new Fault.Answer(429, "TooManyRequests"));
    assertEquals(1, image.detail("throttles"));
  }

  @Test
  void asksAgainAfterAnErrorInsideTheStore() {
    assertTriedAgain(new Fault.Answer(500, "InternalError"));
  }

  @Test
  void asksAgainWithNewCredentials() {
    assertTriedAgain(new Fault.Answer(400, "ExpiredToken"));
  }

  @Test
  void asksAgainAfterAReset() {
    assertTriedAgain(new Fault.Reset(-1));
  }

  @Test
  void asksAgainAfterAResetInTheMiddle() {
    assertTriedAgain(new Fault.Reset(9000));
  }

  @Test
  void asksAgainWhenTheBodyIsCutShort() {
    assertTriedAgain(new Fault.Truncated(30000));
  }

  @Test
  void asksAgainWhenTheAnswerIsNoHttp() {
    assertTriedAgain(new Fault.Malformed());
  }

  @Test
  void asksAgainWhenAnotherRangeComes() {
    assertTriedAgain(new Fault.Header("Content-Range", "bytes 0-65535/1048576"));
  }

  @Test
  void asksAgainWhenTheObjectHasAnotherLength() {
    assertTriedAgain(new Fault.Header("Content-Range", "bytes 4096-69631/1048577"));
  }

  @Test
  void asksAgainWhenTheStoreGoesSilent() {
    assertTriedAgain(new Fault.Stall(20000));
  }

  @Test
  void comesBackAfterAnOutage() throws TargetOpenException {
    image.close();
    image = OpenedImage.at("s3://images/disk.img", options("loss-timeout", "1s"));
    PROXY.down(true);

    RecordedRequest read = read();
    assertEquals(IoError.UNREACHABLE, read.await());
    assertEquals(IoError.UNREACHABLE, read().await(), "nobody waits any more");

    PROXY.down(false);
    assertReads();
  }

  @Test
  void waitsOutAnOutage() {
    PROXY.down(true);
    RecordedRequest read = RecordedRequest.read(4096, LENGTH);
    image.submit(read);
    while (image.detail("retries") < 2) {
      Thread.onSpinWait();
    }
    assertTrue(!read.ended());

    PROXY.down(false);

    assertNull(read.await());
    assertArrayEquals(Arrays.copyOfRange(IMAGE, 4096, 4096 + LENGTH), read.payload());
  }

  @Test
  void stoppingEndsTheWaiting() {
    PROXY.down(true);
    RecordedRequest read = RecordedRequest.read(4096, LENGTH);
    image.submit(read);

    image.target().stopping();

    assertEquals(IoError.UNREACHABLE, read.await());
  }

  @Test
  void aVersionIsAskedForByName() throws Exception {
    image.close();
    try (S3Server open = S3Server.open();
        FaultyProxy proxy = FaultyProxy.before(open)) {
      open.createBucket("images");
      open.put("images", "disk.img", IMAGE);
      // The server keeps no versions.
      proxy.plan(_ -> new Fault.Asked("versionId=v%2B1", ""));
      image =
          OpenedImage.at(
              "s3://images/disk.img?versionId=v%2b1",
              Stores.options(proxy.url(), "no-sign-request", "true"));

      assertReads();

      assertEquals(2, proxy.requests().size());
      for (FaultyProxy.Request request : proxy.requests()) {
        assertTrue(request.line().contains("versionId=v%2B1"), request.line());
        assertEquals("", request.header("authorization"), "nothing was to be signed");
      }
      assertEquals("v+1", image.target().details().get("versionId"));
      assertTrue(image.target().contentIdentity().orElseThrow().contains("v+1"));
      image.close();
      image = OpenedImage.at("s3://images/disk.img", options());
    }
  }

  @Test
  void aLateAnswerIsWaitedFor() {
    PROXY.plan(_ -> new Fault.Late(Duration.ofMillis(300)));

    assertReads();
  }

  /// The first answer from now on is spoilt, and nobody notices. On a host that is very busy there
  /// can be more retries than that one.
  private void assertTriedAgain(Fault fault) {
    int spoilt = PROXY.requests().size();
    PROXY.plan(request -> request.number() == spoilt ? fault : new Fault.None());

    assertReads();

    assertTrue(image.detail("retries") >= 1, "retries: " + image.detail("retries"));
    assertTrue(PROXY.requests().size() >= spoilt + 2, "requests: " + PROXY.requests().size());
  }

  private void assertReads() {
    RecordedRequest read = read();
    assertNull(read.await(), () -> "failed: " + read.cause());
    assertArrayEquals(Arrays.copyOfRange(IMAGE, 4096, 4096 + LENGTH), read.payload());
  }

  private RecordedRequest read() {
    RecordedRequest read = RecordedRequest.read(4096, LENGTH);
    image.submit(read);
    return read;
  }

  private IoError failure(String words) {
    RecordedRequest read = read();
    IoError error = read.await();
    String message = String.valueOf(Objects.requireNonNull(read.cause()).getMessage());
    assertTrue(message.startsWith(words), message);
    return Objects.requireNonNull(error);
  }
}
