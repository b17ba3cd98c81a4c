package io.ublkbridge.overlay;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.UUID;

/// The map pages that one step of a flush changes, as they are written to the journal before any of
/// them is written to its place: one page that says what follows, then the pages.
///
/// ```
/// 0   magic "UBJR"
/// 4   CRC32C of the whole record
/// 8   UUID of the overlay
/// 24  how many pages follow, 4 bytes
/// ```
final class JournalRecord {
  private static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfLong LONG =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final int MAGIC = 'U' | 'B' << 8 | 'J' << 16 | 'R' << 24;
  private static final long CRC_AT = 4;
  private static final long UUID_AT = 8;
  private static final long COUNT_AT = 24;

  private JournalRecord() {}

  /// The place of a page in a record.
  static MemorySegment page(MemorySegment record, int index) {
    return record.asSlice((1L + index) * OverlayLayout.PAGE_BYTES, OverlayLayout.PAGE_BYTES);
  }

  /// Completes a record whose pages are in their places.
  static void seal(MemorySegment record, UUID uuid, int count) {
    record.asSlice(0, OverlayLayout.PAGE_BYTES).fill((byte) 0);
    record.set(INT, 0, MAGIC);
    record.set(LONG, UUID_AT, uuid.getMostSignificantBits());
    record.set(LONG, UUID_AT + 8, uuid.getLeastSignificantBits());
    record.set(INT, COUNT_AT, count);
    Checksum.put(record.asSlice(0, lengthBytes(count)), CRC_AT);
  }

  static long lengthBytes(int count) {
    return (1L + count) * OverlayLayout.PAGE_BYTES;
  }

  /// How many pages the record in the journal holds.
  ///
  /// @return 0 if there is none, or one that was not written to its end
  static int countOf(MemorySegment journal, UUID uuid) {
    int count = journal.get(INT, COUNT_AT);
    boolean sound =
        journal.get(INT, 0) == MAGIC
            && journal.get(LONG, UUID_AT) == uuid.getMostSignificantBits()
            && journal.get(LONG, UUID_AT + 8) == uuid.getLeastSignificantBits()
            && count > 0
            && lengthBytes(count) <= journal.byteSize()
            && Checksum.matches(journal.asSlice(0, lengthBytes(count)), CRC_AT);
    return sound ? count : 0;
  }
}
