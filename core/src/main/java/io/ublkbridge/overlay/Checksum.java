package io.ublkbridge.overlay;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.zip.CRC32C;

/// The CRC32C that every page of an overlay's metadata carries: over all of the page, with zero in
/// the place of the checksum.
final class Checksum {
  private static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private Checksum() {}

  static int of(MemorySegment page, long at) {
    int stored = page.get(INT, at);
    page.set(INT, at, 0);
    CRC32C crc = new CRC32C();
    crc.update(page.asByteBuffer());
    page.set(INT, at, stored);
    return (int) crc.getValue();
  }

  static void put(MemorySegment page, long at) {
    page.set(INT, at, of(page, at));
  }

  static boolean matches(MemorySegment page, long at) {
    return page.get(INT, at) == of(page, at);
  }
}
