package io.ublkbridge.nbd;

import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/// What the unflushed writes of all queues amount to: for each byte the latest write to it, as
/// extents that do not overlap and so may be done again in any order.
final class JournalExtents {
  /// A part of an entry.
  ///
  /// @param from where in the entry it begins
  record Extent(JournalEntry entry, long from, long length) {
    long offset() {
      return entry.offsetBytes() + from;
    }

    long end() {
      return offset() + length;
    }

    private Extent part(long start, long end) {
      return new Extent(entry, start - entry.offsetBytes(), end - start);
    }
  }

  private final TreeMap<Long, Extent> byOffset = new TreeMap<>();

  /// @param entries acknowledged ones, in any order
  static Collection<Extent> of(List<JournalEntry> entries) {
    JournalExtents extents = new JournalExtents();
    entries.stream()
        .sorted(Comparator.comparingLong(JournalEntry::sequence))
        .forEach(entry -> extents.put(new Extent(entry, 0, entry.lengthBytes())));
    return extents.byOffset.values();
  }

  private void put(Extent newer) {
    long start = newer.offset();
    long end = newer.end();
    Map.Entry<Long, Extent> before = byOffset.lowerEntry(start);
    if (before != null && before.getValue().end() > start) {
      Extent older = before.getValue();
      byOffset.put(older.offset(), older.part(older.offset(), start));
      if (older.end() > end) {
        byOffset.put(end, older.part(end, older.end()));
      }
    }
    Map<Long, Extent> covered = byOffset.subMap(start, end);
    if (!covered.isEmpty()) {
      Extent last = byOffset.lowerEntry(end).getValue();
      covered.clear();
      if (last.end() > end) {
        byOffset.put(end, last.part(end, last.end()));
      }
    }
    byOffset.put(start, newer);
  }
}
