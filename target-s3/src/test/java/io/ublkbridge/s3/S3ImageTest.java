package io.ublkbridge.s3;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.RecordedRequest;
import io.ublkbridge.target.TargetOpenException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

/// Reads of an image, against a server in the same process.
final class S3ImageTest {
  private static final int SIZE = (9 << 20) + 300;
  private static final byte[] IMAGE = bytes(SIZE, 7);
  private static final S3Server SERVER = S3Server.start();
  private static final Map<String, String> OPTIONS = Stores.options(SERVER.url());

  static {
    SERVER.createBucket("images");
    SERVER.put("images", "dir/disk one.img", IMAGE);
  }

  @AfterAll
  static void stop() {
    SERVER.close();
  }

  @Test
  void readsWhatTheObjectHolds() throws TargetOpenException {
    try (OpenedImage image = OpenedImage.at("s3://images/dir/disk%20one.img", OPTIONS)) {
      for (int[] range : new int[][] {{0, 512}, {4096, 4096}, {512, 65536}, {3 << 20, 1 << 20}}) {
        assertReads(image, range[0], range[1]);
      }
    }
  }

  @Test
  void readsInPiecesWhatIsLong() throws TargetOpenException {
    try (OpenedImage image = OpenedImage.at("s3://images/dir/disk%20one.img", OPTIONS)) {
      long before = image.detail("gets");

      assertReads(image, 512, 8 << 20);

      assertEquals(2, image.detail("gets") - before);
      assertEquals(8 << 20, image.detail("bytesFetched"));
    }
  }

  @Test
  void padsTheLastBlockWithZeroes() throws TargetOpenException {
    try (OpenedImage image = OpenedImage.at("s3://images/dir/disk%20one.img", OPTIONS)) {
      assertEquals((9 << 20) + 512, image.target().geometry().sizeBytes());

      assertReads(image, 9 << 20, 512);
      assertReads(image, (9 << 20) - 4096, 4096 + 512);
    }
  }

  @Test
  void manyReadsAtOnceEndEachWithItsOwnBytes() throws TargetOpenException {
    SplittableRandom random = new SplittableRandom(42);
    try (OpenedImage image = OpenedImage.at("s3://images/dir/disk%20one.img", OPTIONS)) {
      List<RecordedRequest> reads = new ArrayList<>();
      for (int i = 0; i < 200; i++) {
        int length = 512 * (1 + random.nextInt(256));
        reads.add(RecordedRequest.read(512L * random.nextInt((SIZE - length) / 512), length));
      }

      image.submit(reads.toArray(RecordedRequest[]::new));

      for (RecordedRequest read : reads) {
        assertNull(read.await());
        int offset = (int) read.offsetBytes();
        assertArrayEquals(
            Arrays.copyOfRange(IMAGE, offset, offset + (int) read.lengthBytes()), read.payload());
      }
    }
  }

  @Test
  void refusesToWrite() throws TargetOpenException {
    try (OpenedImage image = OpenedImage.at("s3://images/dir/disk%20one.img", OPTIONS)) {
      RecordedRequest write = RecordedRequest.write(0, new byte[512], false);
      RecordedRequest flush = RecordedRequest.flush();

      image.submit(write, flush);

      assertEquals(IoError.IO, write.await());
      assertNull(flush.await());
      assertTrue(image.target().capabilities().readOnly());
      assertFalse(image.target().capabilities().volatileCache());
    }
  }

  @Test
  void saysWhatItIsAndWhatItCosts() throws TargetOpenException {
    try (OpenedImage image = OpenedImage.at("s3://images/dir/disk%20one.img", OPTIONS)) {
      assertReads(image, 0, 4096);

      BlockTarget target = image.target();
      Map<String, Object> details = target.details();
      assertEquals(SERVER.url(), details.get("endpoint"));
      assertEquals("images", details.get("bucket"));
      assertEquals("dir/disk one.img", details.get("key"));
      assertEquals((long) SIZE, details.get("objectBytes"));
      assertEquals(2L, details.get("gets"));
      assertEquals(4096L, details.get("bytesFetched"));
      assertEquals("0.000001 USD", details.get("requestCost"));
      assertFalse(details.toString().contains(S3Server.SECRET_KEY));
      assertFalse(details.toString().contains(S3Server.ACCESS_KEY));
    }
  }

  @Test
  void identityTellsContentsApart() throws TargetOpenException {
    SERVER.put("images", "a.img", bytes(4096, 1));
    SERVER.put("images", "b.img", bytes(4096, 1));
    String first = identity("s3://images/a.img");

    assertEquals(first, identity("s3://images/a.img"));
    assertFalse(first.equals(identity("s3://images/b.img")), "the key is part of it");
    SERVER.put("images", "a.img", bytes(4096, 2));
    assertFalse(first.equals(identity("s3://images/a.img")), "the ETag is part of it");
  }

  private static String identity(String uri) throws TargetOpenException {
    try (OpenedImage image = OpenedImage.at(uri, OPTIONS)) {
      return image.target().contentIdentity().orElseThrow();
    }
  }

  private static void assertReads(OpenedImage image, int offset, int length) {
    RecordedRequest read = RecordedRequest.read(offset, length);
    image.submit(read);
    assertNull(read.await(), () -> "failed: " + read.cause());
    assertArrayEquals(Arrays.copyOfRange(IMAGE, offset, offset + length), read.payload());
  }

  static byte[] bytes(int length, long seed) {
    byte[] bytes = new byte[length];
    new SplittableRandom(seed).nextBytes(bytes);
    return bytes;
  }
}
