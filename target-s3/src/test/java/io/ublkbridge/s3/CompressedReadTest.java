package io.ublkbridge.s3;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.target.IoError;
import io.ublkbridge.target.RecordedRequest;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/// Reads of compressed images, whole and damaged.
final class CompressedReadTest {
  private static final int FRAME = 16 << 10;
  private static final byte[] IMAGE = image(10 * FRAME + 700, 5);
  private static final long SEEDS = Long.getLong("ublk.seeds", 300);

  /// Half of it can be compressed.
  private static byte[] image(int length, long seed) {
    byte[] image = SeekableZstd.noise(length, seed);
    for (int i = 0; i < length; i += 1024) {
      Arrays.fill(image, i, Math.min(length, i + 512), (byte) (i >> 10));
    }
    return image;
  }

  private static void assertHolds(RecordedRequest read) {
    assertNull(read.await(), () -> read + " failed: " + read.cause());
    int from = (int) read.offsetBytes();
    int to = from + (int) read.lengthBytes();
    assertArrayEquals(
        Arrays.copyOfRange(Arrays.copyOf(IMAGE, Math.max(to, IMAGE.length)), from, to),
        read.payload());
  }

  @Test
  void readsAnyRange() throws Exception {
    SplittableRandom random = new SplittableRandom(1);
    byte[] object = SeekableZstd.of(IMAGE, FRAME, true);
    try (CompressedBytes image = new CompressedBytes(object, 2 * FRAME)) {
      assertEquals(IMAGE.length, image.table().imageBytes());
      int blocks = (int) (S3Image.diskBytes(IMAGE.length) / 512);
      RecordedRequest[] reads = new RecordedRequest[200];
      for (int i = 0; i < reads.length; i++) {
        int first = random.nextInt(blocks);
        reads[i] = RecordedRequest.read(512L * first, 512 * (1 + random.nextInt(blocks - first)));
      }
      image.read(reads);
      for (RecordedRequest read : reads) {
        assertHolds(read);
      }
    }
  }

  @Test
  void neighboursComeWithOneGetAndAreDecodedOnce() throws Exception {
    byte[] object = SeekableZstd.of(IMAGE, FRAME, false);
    try (CompressedBytes image = new CompressedBytes(object, 8 * FRAME)) {
      RecordedRequest first = RecordedRequest.read(0, 4 * FRAME);
      RecordedRequest within = RecordedRequest.read(FRAME + 512, 512);
      image.read(first, within);
      assertHolds(first);
      assertHolds(within);
      assertEquals(1, image.gets());
      assertEquals(4, image.framesDecoded());

      RecordedRequest kept = RecordedRequest.read(2 * FRAME, 512);
      image.read(kept);
      assertHolds(kept);
      assertEquals(1, image.gets());

      RecordedRequest around = RecordedRequest.read(3 * FRAME, 2 * FRAME);
      image.read(around);
      assertHolds(around);
      assertEquals(2, image.gets());
      assertEquals(5, image.framesDecoded());
    }
  }

  @Test
  void decompressingIsNotTheLoopsWork() throws Exception {
    byte[] object = SeekableZstd.of(IMAGE, FRAME, true);
    try (CompressedBytes image = new CompressedBytes(object, FRAME)) {
      RecordedRequest read = RecordedRequest.read(0, 4 * FRAME);
      image.submit(read);
      assertFalse(read.ended());
      image.read(RecordedRequest.read(8 * FRAME, 512));
      image.read(RecordedRequest.read(5 * FRAME, 512));
      image.finish(read);
      assertHolds(read);
      assertTrue(
          image.callers().stream().allMatch(name -> name.startsWith("zstd-")),
          () -> "done by " + image.callers());
    }
  }

  @Test
  void memoryIsBoundedAndGivenBack() throws Exception {
    byte[] object = SeekableZstd.of(IMAGE, FRAME, true);
    CompressedBytes image = new CompressedBytes(object, 3 * FRAME);
    try (image) {
      for (int i = 0; i < 10; i++) {
        image.read(RecordedRequest.read((long) i * FRAME, FRAME));
        assertTrue(image.memoryBytes() <= 3 * FRAME, "kept: " + image.memoryBytes());
      }
      image.failNextGet(StoreException.Kind.GONE);
      image.read(RecordedRequest.read(0, FRAME));
    }
    assertEquals(0, image.memoryBytes());
  }

  @Test
  void aFrameThatCannotBeHadIsAskedForAgain() throws Exception {
    byte[] object = SeekableZstd.of(IMAGE, FRAME, true);
    try (CompressedBytes image = new CompressedBytes(object, FRAME)) {
      image.failNextGet(StoreException.Kind.UNREACHABLE);
      RecordedRequest failed = RecordedRequest.read(0, 2 * FRAME);
      RecordedRequest joined = RecordedRequest.read(FRAME, 512);
      image.read(failed);
      assertEquals(IoError.UNREACHABLE, failed.await());
      image.read(joined);
      assertHolds(joined);
    }
  }

  @Test
  void framesThatHoldNothingAreSteppedOver() throws Exception {
    SeekableZstd zstd = new SeekableZstd(true).skippable(100);
    for (int at = 0; at < IMAGE.length; at += 32 << 10) {
      zstd.frame(Arrays.copyOfRange(IMAGE, at, Math.min(IMAGE.length, at + (32 << 10))));
      zstd.skippable(1);
    }
    byte[] object = zstd.finish();
    try (CompressedBytes image = new CompressedBytes(object, 1 << 20)) {
      RecordedRequest all = RecordedRequest.read(0, (int) S3Image.diskBytes(IMAGE.length));
      image.read(all);
      assertHolds(all);
    }
  }

  @Test
  void aDamagedFrameIsBadDataAndTheOthersAreRead() throws Exception {
    byte[] object = SeekableZstd.of(IMAGE, FRAME, true);
    long at = CompressedBytes.table(object).compressedStart(3) + 100;
    object[(int) at] ^= 1;
    try (CompressedBytes image = new CompressedBytes(object, FRAME)) {
      RecordedRequest bad = RecordedRequest.read(3 * FRAME + 512, 512);
      RecordedRequest across = RecordedRequest.read(0, 8 * FRAME);
      RecordedRequest good = RecordedRequest.read(4 * FRAME, FRAME);
      image.read(bad, across, good);
      assertEquals(IoError.CORRUPT, bad.await());
      assertEquals(IoError.CORRUPT, across.await());
      assertHolds(good);
    }
  }

  @Test
  void theTablesChecksumIsChecked() throws Exception {
    byte[] frame = SeekableZstd.compress(Arrays.copyOf(IMAGE, FRAME));
    byte[] other = SeekableZstd.compress(Arrays.copyOfRange(IMAGE, FRAME, 2 * FRAME));
    int checksum = checksumOf(frame);
    byte[] object =
        new SeekableZstd(true).add(frame, FRAME, checksum).add(other, FRAME, checksum).finish();
    try (CompressedBytes image = new CompressedBytes(object, FRAME)) {
      RecordedRequest read = RecordedRequest.read(FRAME, 512);
      image.read(read);
      assertEquals(IoError.CORRUPT, read.await());
    }
  }

  private static int checksumOf(byte[] frame) {
    return java.nio.ByteBuffer.wrap(frame)
        .order(java.nio.ByteOrder.LITTLE_ENDIAN)
        .getInt(frame.length - 4);
  }

  /// Whatever is damaged: refused, failed as bad data, or right.
  @Test
  void damageNeverGivesAWrongByte() throws Exception {
    Long only = Long.getLong("ublk.seed");
    long first = only == null ? 0 : only;
    long last = only == null ? SEEDS - 1 : only;
    int refused = 0;
    for (long seed = first; seed <= last; seed++) {
      SplittableRandom random = new SplittableRandom(seed);
      byte[] object = damaged(random);
      try (CompressedBytes image = new CompressedBytes(object, 2 * FRAME)) {
        assertEquals(IMAGE.length, image.table().imageBytes(), "seed " + seed);
        for (int i = 0; i <= 10; i++) {
          RecordedRequest read = RecordedRequest.read((long) i * FRAME, i == 10 ? 1024 : FRAME);
          image.read(read);
          if (read.await() == null) {
            assertHolds(read);
          } else {
            assertEquals(IoError.CORRUPT, read.await(), "seed " + seed);
          }
        }
      } catch (StoreException e) {
        assertTrue(
            e.kind() == StoreException.Kind.UNREADABLE || e.kind() == StoreException.Kind.CORRUPT,
            "seed " + seed + ": " + e.kind());
        refused++;
      } catch (RuntimeException | AssertionError e) {
        throw new AssertionError("seed " + seed + " (-Dublk.seed=" + seed + ")", e);
      }
    }
    assertTrue(only != null || refused > SEEDS / 4, "refused: " + refused);
  }

  private static byte[] damaged(SplittableRandom random) {
    byte[] object = SeekableZstd.of(IMAGE, FRAME, random.nextBoolean());
    int tableBytes = 8 + 11 * 12 + 9;
    int kind = random.nextInt(4);
    if (kind == 0) {
      return Arrays.copyOf(object, random.nextInt(1, object.length));
    }
    if (kind == 1) {
      return Arrays.copyOfRange(object, random.nextInt(1, 64), object.length);
    }
    for (int n = random.nextInt(1, 4); n > 0; n--) {
      int from = random.nextBoolean() ? object.length - tableBytes : 0;
      object[random.nextInt(from, object.length)] ^= (byte) (1 << random.nextInt(8));
    }
    return object;
  }
}
