package io.ublkbridge.s3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.s3.StoreException.Kind;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

/// What a seek table says, and which are refused.
final class SeekTableTest {
  private static final byte[] IMAGE = SeekableZstd.noise(5 * 4096 + 100, 3);
  private static final int FRAMES = 6;

  private static byte[] object() {
    return SeekableZstd.of(IMAGE, 4096, false);
  }

  /// An object whose table has another number at some place, counted from the object's end.
  private static byte[] with(int fromEnd, int value) {
    byte[] object = object();
    ByteBuffer.wrap(object).order(ByteOrder.LITTLE_ENDIAN).putInt(object.length - fromEnd, value);
    return object;
  }

  private static int entry(int frame) {
    return 9 + 8 * (FRAMES - frame);
  }

  private static void assertRefused(String words, byte[] object) {
    StoreException refused =
        assertThrows(StoreException.class, () -> CompressedBytes.table(object));
    assertTrue(refused.message().contains(words), refused.message());
    assertTrue(refused.kind() == Kind.UNREADABLE || refused.kind() == Kind.CORRUPT);
  }

  @Test
  void tellsWhereFramesAre() throws Exception {
    SeekTable table = CompressedBytes.table(object());
    assertEquals(FRAMES, table.frameCount());
    assertEquals(IMAGE.length, table.imageBytes());
    assertEquals(4096, table.frameBytesMax());
    assertEquals(0, table.frameOf(0));
    assertEquals(0, table.frameOf(4095));
    assertEquals(1, table.frameOf(4096));
    assertEquals(5, table.frameOf(IMAGE.length - 1));
    assertEquals(100, table.length(5));
    assertEquals(table.compressedStart(3) + table.compressedLength(3), table.compressedStart(4));
  }

  @Test
  void anImageThatIsNotSeekableIsRefusedWithTheWayOut() {
    StoreException refused =
        assertThrows(
            StoreException.class, () -> CompressedBytes.table(SeekableZstd.compress(IMAGE)));
    assertTrue(refused.message().contains("not in its seekable format"), refused.message());
    assertTrue(String.valueOf(refused.remedy()).contains("zstd -dc"), refused.remedy());
    assertRefused("not in its seekable format", new byte[] {1});
  }

  @Test
  void aTableThatDoesNotFitTheObjectIsRefused() {
    byte[] object = object();
    assertRefused("the object has", Arrays.copyOfRange(object, 1, object.length));
    assertRefused("longer than the object", with(9, 1 << 20));
    assertRefused("begin where its end says", with(9, FRAMES - 1));
    assertRefused("begin where its end says", with(entry(0) + 8, 0x184D2A50));
    assertRefused("begin where its end says", with(entry(0) + 4, 8 * FRAMES + 8));
    assertRefused("the object has", with(entry(2), 77));
    assertRefused("would hold", with(entry(2), 0));
    assertRefused("would hold", with(entry(2), -1));
  }

  @Test
  void whatCannotBeServedIsRefused() {
    assertRefused("frames than the most", with(9, -1));
    assertRefused("frames of 16M", with(entry(1) - 4, (16 << 20) + 1));
    assertRefused("frames of 4G", with(entry(1) - 4, -1));
    byte[] newer = object();
    newer[newer.length - 5] = 4;
    assertRefused("newer kind", newer);
    assertRefused("is empty", new SeekableZstd(false).finish());
    assertRefused("is empty", new SeekableZstd(true).skippable(9).finish());
  }

  @Test
  void bitsThatMeanNothingMeanNothing() throws Exception {
    byte[] object = object();
    object[object.length - 5] = 3;
    assertEquals(IMAGE.length, CompressedBytes.table(object).imageBytes());
  }

  @Test
  void aWrongLengthIsFoundOut() {
    assertRefused("it holds 4096 bytes, not 4097", with(entry(2) - 4, 4097));
    assertRefused("damaged", with(entry(2) - 4, 4095));
    assertRefused("it holds 4096 bytes, not 8192", with(entry(0) - 4, 8192));
    SeekableZstd many = new SeekableZstd(false);
    for (int i = 0; i <= SeekTableReader.UNUSUAL_MAX + 1; i++) {
      many.frame(Arrays.copyOf(IMAGE, 1000 + i));
    }
    assertRefused("many lengths", many.finish());
  }
}
