package io.ublkbridge.s3;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.target.RecordedRequest;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

/// Compressed images, against a server in the same process.
final class CompressedImageTest {
  private static final int FRAME = 256 << 10;
  private static final byte[] IMAGE = SeekableZstd.noise(9 * FRAME + 300, 7);
  private static final S3Server SERVER = S3Server.start();
  private static final Map<String, String> OPTIONS = Stores.options(SERVER.url());

  static {
    // Half of it can be compressed.
    for (int i = 0; i < IMAGE.length; i += 8192) {
      Arrays.fill(IMAGE, i, Math.min(IMAGE.length, i + 4096), (byte) 7);
    }
    SERVER.createBucket("images");
    SERVER.put("images", "disk.img.zst", SeekableZstd.of(IMAGE, FRAME, true));
  }

  @AfterAll
  static void stop() {
    SERVER.close();
  }

  @Test
  void readsWhatTheImageHolds() throws TargetOpenException {
    SplittableRandom random = new SplittableRandom(42);
    try (OpenedImage image = OpenedImage.at("s3://images/disk.img.zst", OPTIONS)) {
      assertEquals(S3Image.diskBytes(IMAGE.length), image.target().geometry().sizeBytes());
      List<RecordedRequest> reads = new ArrayList<>();
      reads.add(RecordedRequest.read(IMAGE.length / 512 * 512L, 512));
      for (int i = 0; i < 100; i++) {
        int length = 512 * (1 + random.nextInt(1024));
        reads.add(
            RecordedRequest.read(512L * random.nextInt((IMAGE.length - length) / 512), length));
      }

      image.submit(reads.toArray(RecordedRequest[]::new));

      byte[] padded = Arrays.copyOf(IMAGE, (int) S3Image.diskBytes(IMAGE.length));
      for (RecordedRequest read : reads) {
        assertNull(read.await(), () -> "failed: " + read.cause());
        int offset = (int) read.offsetBytes();
        assertArrayEquals(
            Arrays.copyOfRange(padded, offset, offset + (int) read.lengthBytes()), read.payload());
      }
      // All of it once, and at the start: a look, the footer, the table, the first and last frame.
      assertTrue(image.detail("gets") <= 5 + 10, "GETs: " + image.detail("gets"));
    }
  }

  @Test
  void saysWhatItIs() throws TargetOpenException {
    try (OpenedImage image = OpenedImage.at("s3://images/disk.img.zst", OPTIONS)) {
      RecordedRequest read = RecordedRequest.read(0, 512);
      image.submit(read);
      assertNull(read.await());
      Map<String, Object> details = image.target().details();
      assertEquals(
          Map.of(
              "format",
              "zstd, seekable",
              "imageBytes",
              (long) IMAGE.length,
              "frames",
              10L,
              "largestFrameBytes",
              (long) FRAME,
              "framesDecoded",
              1L,
              "decodedBytes",
              (long) FRAME),
          details.get("compression"));
      assertEquals(FRAME, image.target().geometry().preferredIoBytes());
      String identity = image.target().contentIdentity().orElseThrow();
      assertTrue(identity.endsWith("zstd"), identity);
    }
  }

  @Test
  void whatIsNotSeekableOrDamagedIsRefused() {
    assertUnsupported("not in its seekable format", SeekableZstd.compress(IMAGE));
    byte[] cut = SeekableZstd.of(IMAGE, FRAME, true);
    assertUnsupported("damaged", Arrays.copyOfRange(cut, 1, cut.length));
    cut[100] ^= 1;
    assertUnsupported("damaged", cut);
  }

  private static void assertUnsupported(String words, byte[] object) {
    SERVER.put("images", "other.zst", object);
    TargetOpenException refused =
        assertThrows(
            TargetOpenException.class,
            () -> OpenedImage.at("s3://images/other.zst", OPTIONS).close());
    assertEquals(Reason.UNSUPPORTED, refused.reason());
    assertTrue(String.valueOf(refused.getMessage()).contains(words), refused.getMessage());
  }
}
