package io.ublkbridge.s3;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.target.IoError;
import io.ublkbridge.target.RecordedRequest;
import io.ublkbridge.target.TargetOpenException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Images in Ceph: that we do not only agree with the one server that the other tests have.
///
/// `-Dceph.home=DIR` says where `it/s3/ceph DIR` put it; `it/soak/run s3-ceph` does both.
@Tag("ceph")
final class CephTest {
  private static final byte[] IMAGE = SeekableZstd.noise((9 << 20) + 300, 11);

  @TempDir static Path dir;
  private static CephServer server;
  private static Map<String, String> options;

  @BeforeAll
  static void start() throws IOException {
    Path home = Path.of(System.getProperty("ceph.home"));
    server = CephServer.start(home, Files.createDirectory(dir.resolve("ceph")));
    server.createBucket("images");
    put("disk.img", IMAGE);
    options = Stores.options(server.url());
  }

  @AfterAll
  static void stop() {
    server.close();
  }

  private static void put(String key, byte[] bytes) throws IOException {
    server.put("images", key, Files.write(dir.resolve("object"), bytes));
  }

  @Test
  void readsWhatTheObjectHolds() throws TargetOpenException {
    try (OpenedImage image = OpenedImage.at("s3://images/disk.img", options)) {
      assertEquals((9 << 20) + 512, image.target().geometry().sizeBytes());
      for (int[] range : new int[][] {{0, 512}, {4096, 4096}, {512, 65536}, {1 << 20, 8 << 20}}) {
        RecordedRequest read = RecordedRequest.read(range[0], range[1]);
        image.submit(read);
        assertNull(read.await(), () -> "failed: " + read.cause());
        assertArrayEquals(Arrays.copyOfRange(IMAGE, range[0], range[0] + range[1]), read.payload());
      }
      RecordedRequest last = RecordedRequest.read(9 << 20, 512);
      image.submit(last);
      assertNull(last.await());
      assertArrayEquals(Arrays.copyOfRange(IMAGE, 9 << 20, (9 << 20) + 512), last.payload());
    }
  }

  @Test
  void aReplacedObjectIsNeverMixedWithTheOld() throws Exception {
    put("replaced.img", SeekableZstd.noise(1 << 20, 1));
    try (OpenedImage image = OpenedImage.at("s3://images/replaced.img", options)) {
      put("replaced.img", SeekableZstd.noise(1 << 20, 2));
      RecordedRequest read = RecordedRequest.read(0, 4096);

      image.submit(read);

      assertEquals(IoError.IO, read.await());
    }
  }

  @Test
  void readsCompressedImages() throws Exception {
    put("disk.img.zst", SeekableZstd.of(IMAGE, 1 << 20, true));
    try (OpenedImage image = OpenedImage.at("s3://images/disk.img.zst", options)) {
      RecordedRequest read = RecordedRequest.read(3 << 20, 2 << 20);
      image.submit(read);
      assertNull(read.await(), () -> "failed: " + read.cause());
      assertArrayEquals(Arrays.copyOfRange(IMAGE, 3 << 20, 5 << 20), read.payload());
    }
  }

  @Test
  void saysWhatIsMissingOrWrong() throws IOException {
    put("empty.img", new byte[0]);
    assertRefused(TargetOpenException.Reason.UNSUPPORTED, "empty", "s3://images/empty.img");
    assertRefused(TargetOpenException.Reason.FAILED, "no bucket 'nowhere'", "s3://nowhere/d.img");
    assertRefused(
        TargetOpenException.Reason.FAILED, "no object 'none.img'", "s3://images/none.img");
    System.setProperty("aws.secretAccessKey", "wrong");
    try {
      assertRefused(TargetOpenException.Reason.REFUSED, "secret", "s3://images/disk.img");
    } finally {
      System.setProperty("aws.secretAccessKey", S3Server.SECRET_KEY);
    }
  }

  private static void assertRefused(TargetOpenException.Reason reason, String words, String uri) {
    TargetOpenException refusal =
        assertThrows(TargetOpenException.class, () -> OpenedImage.at(uri, options));
    assertTrue(String.valueOf(refusal.getMessage()).contains(words), refusal.getMessage());
    assertEquals(reason, refusal.reason());
  }
}
