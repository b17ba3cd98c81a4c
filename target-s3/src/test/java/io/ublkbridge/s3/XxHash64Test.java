package io.ublkbridge.s3;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

final class XxHash64Test {
  private static long hash(byte[] bytes) {
    try (Arena arena = Arena.ofConfined()) {
      return XxHash64.of(arena.allocate(bytes.length).copyFrom(MemorySegment.ofArray(bytes)));
    }
  }

  @Test
  void knownDigests() {
    assertEquals(0xEF46DB3751D8E999L, hash(new byte[0]));
    assertEquals(0xD24EC4F1A98C6E5BL, hash("a".getBytes(StandardCharsets.US_ASCII)));
    assertEquals(0x44BC2CF5AD770999L, hash("abc".getBytes(StandardCharsets.US_ASCII)));
  }

  @Test
  void agreesWithTheChecksumThatZstdAppends() {
    for (int length = 1; length < 300; length++) {
      byte[] bytes = SeekableZstd.noise(length, length);
      byte[] frame = SeekableZstd.compress(bytes);
      int appended = ByteBuffer.wrap(frame).order(ByteOrder.LITTLE_ENDIAN).getInt(frame.length - 4);
      assertEquals(appended, (int) hash(bytes), "of " + length + " bytes");
    }
  }
}
