package io.ublkbridge.target;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class ByteSizeTest {
  @Test
  void unitsArePowersOf1024() {
    assertEquals(512, ByteSize.parse("512"));
    assertEquals(64 << 10, ByteSize.parse("64k"));
    assertEquals(3L << 29, ByteSize.parse("1.5G"));
    assertEquals(1L << 40, ByteSize.parse("1TiB"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "K", "-1", "1X", "1 G", "0x10", "9999999999999T", "1.2345G"})
  void anythingElseIsRefused(String text) {
    assertThrows(IllegalArgumentException.class, () -> ByteSize.parse(text));
  }

  @Test
  void sizesPrintShort() {
    assertEquals("0", ByteSize.format(0));
    assertEquals("1023", ByteSize.format(1023));
    assertEquals("256M", ByteSize.format(256L << 20));
    assertEquals("1.5G", ByteSize.format(3L << 29));
  }
}
