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

final class SlotHeaderTest {
  private final TierIdentity identity = new TierIdentity("s3://b/k#etag", 1 << 20, 4096);
  private final MemorySegment header = Arena.ofAuto().allocate(SlotHeader.BYTES);

  @Test
  void saysWhatWasWritten() {
    SlotHeader.write(header, identity, 0x1122334455667788L, 0x99aabbcc);

    assertTrue(SlotHeader.valid(header, identity));
    assertEquals(0x1122334455667788L, SlotHeader.block(header));
    assertEquals(0x99aabbcc, SlotHeader.blockCrc(header));
    assertArrayEquals(
        HexFormat.of().parseHex("8877665544332211" + "ccbbaa99"),
        header.asSlice(16, 12).toArray(JAVA_BYTE));
  }

  @Test
  void everyFlippedBitIsSeen() {
    SlotHeader.write(header, identity, 77, 0x12345678);
    for (int bit = 0; bit < SlotHeader.BYTES * 8; bit++) {
      flip(bit);
      assertFalse(SlotHeader.valid(header, identity), "bit " + bit);
      flip(bit);
    }
    assertTrue(SlotHeader.valid(header, identity));
  }

  @Test
  void zeroesAreNoHeader() {
    assertFalse(SlotHeader.valid(header, identity));
  }

  @Test
  void everyPartOfTheIdentityCounts() {
    SlotHeader.write(header, identity, 1, 2);
    for (TierIdentity other :
        new TierIdentity[] {
          new TierIdentity("s3://b/k#etag2", 1 << 20, 4096),
          new TierIdentity("s3://b/k#etag", 1 << 21, 4096),
          new TierIdentity("s3://b/k#etag", 1 << 20, 8192)
        }) {
      assertFalse(SlotHeader.valid(header, other));
      assertNotEquals(identity.fileStem(), other.fileStem());
    }
    assertEquals(identity.fileStem(), new TierIdentity("s3://b/k#etag", 1 << 20, 4096).fileStem());
  }

  private void flip(int bit) {
    byte old = header.get(JAVA_BYTE, bit / 8);
    header.set(JAVA_BYTE, bit / 8, (byte) (old ^ (1 << bit % 8)));
  }
}
