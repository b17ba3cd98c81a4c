package io.ublkbridge.cache;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.zip.CRC32C;

/// A piece of memory with what a tier's file says of its slots, one behind the other. Each has 32
/// bytes, little-endian:
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
///
/// Made once for its memory; its methods allocate nothing. For one thread at a time.
final class SlotHeaders {
  static final int BYTES = 32;

  private static final int LOW = 8;
  private static final int BLOCK = 16;
  private static final int BLOCK_CRC = 24;
  private static final int HEADER_CRC = 28;

  private final MemorySegment memory;
  private final ByteBuffer bytes;
  private final CRC32C crc = new CRC32C();

  SlotHeaders(MemorySegment memory) {
    this.memory = memory;
    this.bytes = memory.asByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
  }

  MemorySegment memory() {
    return memory;
  }

  void write(int index, TierIdentity identity, long block, int blockCrc) {
    int at = index * BYTES;
    bytes.putLong(at, identity.high());
    bytes.putLong(at + LOW, identity.low());
    bytes.putLong(at + BLOCK, block);
    bytes.putInt(at + BLOCK_CRC, blockCrc);
    bytes.putInt(at + HEADER_CRC, crc(at));
  }

  void writeEmpty(int index) {
    for (int at = index * BYTES; at < (index + 1) * BYTES; at += Long.BYTES) {
      bytes.putLong(at, 0);
    }
  }

  /// Whether the slot may hold a block of this identity.
  boolean valid(int index, TierIdentity identity) {
    int at = index * BYTES;
    return bytes.getLong(at) == identity.high()
        && bytes.getLong(at + LOW) == identity.low()
        && bytes.getInt(at + HEADER_CRC) == crc(at);
  }

  long block(int index) {
    return bytes.getLong(index * BYTES + BLOCK);
  }

  int blockCrc(int index) {
    return bytes.getInt(index * BYTES + BLOCK_CRC);
  }

  private int crc(int at) {
    crc.reset();
    bytes.limit(at + HEADER_CRC).position(at);
    crc.update(bytes);
    bytes.clear();
    return (int) crc.getValue();
  }
}
