package io.ublkbridge.overlay;

import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.nio.ByteBuffer;

/// What sectors hold in the simulation: every one says which write it comes from, and which sector
/// it was written to, in each of its words.
final class SectorBytes {
  static final int ZERO = 0;
  static final int BASE = Integer.MAX_VALUE;

  private SectorBytes() {}

  static void fill(byte[] bytes, int at, int write, long sector) {
    ByteBuffer buffer = ByteBuffer.wrap(bytes, at, SimulatedFile.SECTOR).order(LITTLE_ENDIAN);
    long word = write == ZERO ? 0 : (long) write << 32 | sector;
    for (int i = 0; i < SimulatedFile.SECTOR / 8; i++) {
      buffer.putLong(word);
    }
  }

  /// Which write a sector comes from.
  ///
  /// @throws AssertionError if its words do not agree
  static int writeOf(byte[] bytes, int at, long sector) {
    ByteBuffer buffer = ByteBuffer.wrap(bytes, at, SimulatedFile.SECTOR).order(LITTLE_ENDIAN);
    long word = buffer.getLong();
    for (int i = 1; i < SimulatedFile.SECTOR / 8; i++) {
      if (buffer.getLong() != word) {
        throw new AssertionError("sector " + sector + " is torn");
      }
    }
    if (word == 0) {
      return ZERO;
    }
    if ((int) word != sector) {
      throw new AssertionError("sector " + sector + " has the bytes of sector " + (int) word);
    }
    return (int) (word >>> 32);
  }
}
