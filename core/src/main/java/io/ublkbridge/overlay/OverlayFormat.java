package io.ublkbridge.overlay;

import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Optional;

/// The overlay's file: how it is made, and how it is taken up again after whatever happened.
///
/// ```
/// ┌──────────┬──────────┬─────────────────┬──────────────────────┬ ─ ─ ┬───────────────────────────┐
/// │ header   │ status   │ journal         │ map                  │     │ data, sparse              │
/// │ 4 KiB    │ 4 KiB    │ 4 KiB + 1 MiB   │ 4 KiB for 63.75 MiB  │     │ byte n of the disk is at  │
/// │ once     │ clean?   │ one record      │ of the disk          │     │ 1 MiB boundary + n        │
/// └──────────┴──────────┴─────────────────┴──────────────────────┴ ─ ─ ┴───────────────────────────┘
/// ```
///
/// A flush is: fdatasync the data; write the changed map pages as one record into the journal;
/// fdatasync; now it is done. Then the pages are written to their places, and the fdatasync that
/// the next flush begins with makes them durable before their record is overwritten. So at any
/// moment either the record is whole, and every page that may be torn is in it, or it is torn, and
/// every page is whole. A torn record belongs to a flush that was never confirmed.
///
/// Hence a page with a wrong checksum that the journal does not mend was damaged by something else,
/// and is refused. Nothing here relies on any sector being written in one piece.
final class OverlayFormat {
  private static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final int STATUS_MAGIC = 'U' | 'B' << 8 | 'S' << 16 | 'T' << 24;
  private static final long STATUS_CRC_AT = 4;
  private static final long STATUS_CLEAN_AT = 8;

  /// How much of the map is read or written at once.
  private static final int BATCH_PAGES = 256;

  /// An overlay that was taken up.
  ///
  /// @param clean whether it was left in order, with nothing unflushed
  /// @param replayedPages how many pages of the map came from the journal
  record Opened(OverlayHeader header, BlockMap map, boolean clean, int replayedPages) {}

  private OverlayFormat() {}

  /// Writes an overlay in which everything is the base's. Durable on return, but for the file's
  /// name.
  static void create(OverlayStorage storage, OverlayHeader header) throws IOException {
    OverlayLayout layout = header.layout();
    try (Arena arena = Arena.ofConfined();
        BlockMap empty = new BlockMap(layout)) {
      MemorySegment batch = arena.allocate((long) BATCH_PAGES * OverlayLayout.PAGE_BYTES, 4096);
      // Journal and map take their room now, so that a flush never lacks it.
      for (int page = 0; page <= layout.journalPages(); page++) {
        long position = OverlayLayout.JOURNAL_POSITION + (long) page * OverlayLayout.PAGE_BYTES;
        storage.write(position, page(batch, 0));
      }
      for (int page = 0; page < layout.mapPages(); page += BATCH_PAGES) {
        int count = Math.min(BATCH_PAGES, layout.mapPages() - page);
        for (int i = 0; i < count; i++) {
          empty.encode(page + i, page(batch, i));
        }
        storage.write(
            layout.mapPosition(page), batch.asSlice(0, (long) count * OverlayLayout.PAGE_BYTES));
      }
      header.encode(page(batch, 0));
      storage.write(OverlayLayout.HEADER_POSITION, page(batch, 0));
      storage.extend(layout.fileBytes());
      writeStatus(storage, true);
    }
  }

  private static MemorySegment page(MemorySegment batch, int index) {
    return batch.asSlice((long) index * OverlayLayout.PAGE_BYTES, OverlayLayout.PAGE_BYTES);
  }

  /// Reads the header.
  ///
  /// @throws TargetOpenException if the file is not an overlay, or not one that can be used
  static OverlayHeader readHeader(OverlayStorage storage) throws IOException, TargetOpenException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment page = arena.allocate(OverlayLayout.PAGE_BYTES, 8);
      if (storage.lengthBytes() < OverlayLayout.PAGE_BYTES) {
        throw notAnOverlay();
      }
      storage.read(OverlayLayout.HEADER_POSITION, page);
      if (!OverlayHeader.looksLikeOne(page)) {
        throw notAnOverlay();
      }
      if (OverlayHeader.versionOf(page) != OverlayHeader.VERSION) {
        throw new TargetOpenException(
            Reason.UNSUPPORTED,
            "the overlay has format "
                + OverlayHeader.versionOf(page)
                + ", and this program knows only format "
                + OverlayHeader.VERSION,
            "use the version of ublk-bridge that made it");
      }
      Optional<OverlayHeader> header = OverlayHeader.decode(page);
      if (header.isEmpty()) {
        throw corrupt("the overlay's header is corrupt");
      }
      if (storage.lengthBytes() < header.get().layout().fileBytes()) {
        throw corrupt(
            "the overlay is cut off: it has %d bytes of %d"
                .formatted(storage.lengthBytes(), header.get().layout().fileBytes()));
      }
      return header.get();
    }
  }

  /// Takes up an overlay: finishes what a flush may have left to do, and reads the map.
  ///
  /// @param mend whether the journal's pages are written to their places; otherwise the file stays
  ///   as it is
  /// @throws TargetOpenException if a page of the map is damaged
  static Opened open(OverlayStorage storage, OverlayHeader header, boolean mend)
      throws IOException, TargetOpenException {
    OverlayLayout layout = header.layout();
    BlockMap map = new BlockMap(layout);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment journal = arena.allocate(layout.journalBytes(), 4096);
      storage.read(OverlayLayout.JOURNAL_POSITION, journal);
      int count = JournalRecord.countOf(journal, header.uuid());
      if (mend && count > 0) {
        for (int i = 0; i < count; i++) {
          MemorySegment page = JournalRecord.page(journal, i);
          storage.write(layout.mapPosition(checked(page, layout)), page);
        }
        storage.force();
      }
      readMap(storage, layout, map, journal, count);
      return new Opened(header, map, readClean(storage), count);
    } catch (IOException | TargetOpenException | RuntimeException e) {
      map.close();
      throw e;
    }
  }

  private static int checked(MemorySegment page, OverlayLayout layout) throws TargetOpenException {
    int number = BlockMap.numberOf(page);
    if (number < 0 || number >= layout.mapPages()) {
      throw corrupt("a page in the overlay's journal is corrupt");
    }
    return number;
  }

  private static void readMap(
      OverlayStorage storage,
      OverlayLayout layout,
      BlockMap map,
      MemorySegment journal,
      int journaled)
      throws IOException, TargetOpenException {
    MemorySegment[] newer = new MemorySegment[layout.mapPages()];
    for (int i = 0; i < journaled; i++) {
      MemorySegment page = JournalRecord.page(journal, i);
      newer[checked(page, layout)] = page;
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment batch = arena.allocate((long) BATCH_PAGES * OverlayLayout.PAGE_BYTES, 4096);
      for (int first = 0; first < layout.mapPages(); first += BATCH_PAGES) {
        int count = Math.min(BATCH_PAGES, layout.mapPages() - first);
        storage.read(
            layout.mapPosition(first), batch.asSlice(0, (long) count * OverlayLayout.PAGE_BYTES));
        for (int i = 0; i < count; i++) {
          MemorySegment page = newer[first + i] == null ? page(batch, i) : newer[first + i];
          if (!map.decode(first + i, page)) {
            throw corrupt("page %d of the overlay's map is corrupt".formatted(first + i));
          }
        }
      }
    }
  }

  /// Notes durably whether the overlay is in order; only for people, nothing relies on it.
  static void writeStatus(OverlayStorage storage, boolean clean) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment page = arena.allocate(OverlayLayout.PAGE_BYTES, 8);
      page.set(INT, 0, STATUS_MAGIC);
      page.set(INT, STATUS_CLEAN_AT, clean ? 1 : 0);
      Checksum.put(page, STATUS_CRC_AT);
      storage.write(OverlayLayout.STATUS_POSITION, page);
      storage.force();
    }
  }

  private static boolean readClean(OverlayStorage storage) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment page = arena.allocate(OverlayLayout.PAGE_BYTES, 8);
      storage.read(OverlayLayout.STATUS_POSITION, page);
      return page.get(INT, 0) == STATUS_MAGIC
          && Checksum.matches(page, STATUS_CRC_AT)
          && page.get(INT, STATUS_CLEAN_AT) == 1;
    }
  }

  private static TargetOpenException notAnOverlay() {
    return new TargetOpenException(
        Reason.UNSUPPORTED,
        "the file is not an overlay; it was left as it is",
        "name a file that does not exist yet, or the overlay that belongs here");
  }

  private static TargetOpenException corrupt(String message) {
    return new TargetOpenException(
        Reason.UNSUPPORTED,
        message + "; nothing was changed",
        "restore the file from a copy, or give up what it holds: remove it and attach again");
  }
}
