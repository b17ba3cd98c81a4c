package io.ublkbridge.cache;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HexFormat;
import org.junit.jupiter.api.Test;

final class SlotHeadersTest {
  private final TierIdentity identity = new TierIdentity("s3://b/k#etag", 1 << 20, 4096);
  private final MemorySegment memory = Arena.ofAuto().allocate(3 * SlotHeaders.BYTES);
  private final SlotHeaders headers = new SlotHeaders(memory);

  @Test
  void saysWhatWasWritten() {
    headers.write(1, identity, 0x1122334455667788L, 0x99aabbcc);

    assertTrue(headers.valid(1, identity));
    assertEquals(0x1122334455667788L, headers.block(1));
    assertEquals(0x99aabbcc, headers.blockCrc(1));
    assertArrayEquals(
        HexFormat.of().parseHex("8877665544332211" + "ccbbaa99"),
        memory.asSlice(SlotHeaders.BYTES + 16, 12).toArray(JAVA_BYTE));
  }

  @Test
  void everyFlippedBitIsSeen() {
    headers.write(1, identity, 77, 0x12345678);
    for (int bit = 0; bit < SlotHeaders.BYTES * 8; bit++) {
      flip(bit);
      assertFalse(headers.valid(1, identity), "bit " + bit);
      flip(bit);
    }
    assertTrue(headers.valid(1, identity));
  }

  @Test
  void neighboursAreLeftAlone() {
    headers.write(1, identity, 77, 0x12345678);
    headers.write(0, identity, 1, 1);
    headers.writeEmpty(2);
    assertTrue(headers.valid(1, identity));
    headers.writeEmpty(1);
    assertFalse(headers.valid(1, identity));
    assertTrue(headers.valid(0, identity));
  }

  @Test
  void zeroesAreNoHeader() {
    assertFalse(headers.valid(1, identity));
  }

  @Test
  void everyPartOfTheIdentityCounts() {
    headers.write(1, identity, 1, 2);
    for (TierIdentity other :
        new TierIdentity[] {
          new TierIdentity("s3://b/k#etag2", 1 << 20, 4096),
          new TierIdentity("s3://b/k#etag", 1 << 21, 4096),
          new TierIdentity("s3://b/k#etag", 1 << 20, 8192)
        }) {
      assertFalse(headers.valid(1, other));
      assertNotEquals(identity.fileStem(), other.fileStem());
    }
    assertEquals(identity.fileStem(), new TierIdentity("s3://b/k#etag", 1 << 20, 4096).fileStem());
  }

  private void flip(int bit) {
    int at = SlotHeaders.BYTES + bit / 8;
    byte old = memory.get(JAVA_BYTE, at);
    memory.set(JAVA_BYTE, at, (byte) (old ^ (1 << bit % 8)));
  }
}
