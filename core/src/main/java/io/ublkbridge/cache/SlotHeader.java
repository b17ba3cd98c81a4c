package io.ublkbridge.cache;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.zip.CRC32C;

/// What a tier's file says of one slot: 32 bytes, little-endian.
///
/// ```
///  0  identity, high half    8
///  8  identity, low half     8
/// 16  number of the block    8
/// 24  CRC32C of the block    4
/// 28  CRC32C of bytes 0..27  4
/// ```
///
/// A slot whose header is not exactly right is empty; so is one of zeroes. A header promises
/// nothing about the block: that is as it should be only if its CRC32C says so, each time.
final class SlotHeader {
  static final int BYTES = 32;

  private static final ValueLayout.OfLong LONG =
      JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfInt INT =
      JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final int BLOCK = 16;
  private static final int BLOCK_CRC = 24;
  private static final int HEADER_CRC = 28;

  private SlotHeader() {}

  static void write(MemorySegment at, TierIdentity identity, long block, int blockCrc) {
    at.set(LONG, 0, identity.high());
    at.set(LONG, 8, identity.low());
    at.set(LONG, BLOCK, block);
    at.set(INT, BLOCK_CRC, blockCrc);
    at.set(INT, HEADER_CRC, crc(at));
  }

  static void writeEmpty(MemorySegment at) {
    at.asSlice(0, BYTES).fill((byte) 0);
  }

  /// Whether the slot may hold a block of this identity.
  static boolean valid(MemorySegment at, TierIdentity identity) {
    return at.get(LONG, 0) == identity.high()
        && at.get(LONG, 8) == identity.low()
        && at.get(INT, HEADER_CRC) == crc(at);
  }

  static long block(MemorySegment at) {
    return at.get(LONG, BLOCK);
  }

  static int blockCrc(MemorySegment at) {
    return at.get(INT, BLOCK_CRC);
  }

  private static int crc(MemorySegment at) {
    CRC32C crc = new CRC32C();
    crc.update(at.asSlice(0, HEADER_CRC).asByteBuffer());
    return (int) crc.getValue();
  }
}
