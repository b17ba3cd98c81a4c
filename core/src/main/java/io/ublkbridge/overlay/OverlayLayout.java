package io.ublkbridge.overlay;

/// Where the parts of an overlay file are; all in bytes, see [OverlayFormat].
///
/// @param sizeBytes the disk's
/// @param journalPages the most map pages that one step of a flush can change
record OverlayLayout(long sizeBytes, int journalPages) {
  static final int PAGE_BYTES = 4096;

  /// The unit of copy-on-write. File systems write whole pages of 4 KiB, so that hardly any write
  /// needs the base first; a larger block would make small writes copy, a smaller one would make
  /// the map larger.
  static final int BLOCK_BYTES = 4096;

  static final int JOURNAL_PAGES = 256;
  static final long HEADER_POSITION = 0;
  static final long STATUS_POSITION = PAGE_BYTES;
  static final long JOURNAL_POSITION = 2L * PAGE_BYTES;

  /// Blocks in the file keep their place relative to large extents and huge pages below.
  private static final long DATA_ALIGNMENT = 1 << 20;

  long blocks() {
    return Math.ceilDiv(sizeBytes, BLOCK_BYTES);
  }

  int mapPages() {
    return Math.toIntExact(Math.ceilDiv(blocks(), BlockMap.BLOCKS_PER_PAGE));
  }

  int journalBytes() {
    return (1 + journalPages) * PAGE_BYTES;
  }

  long mapPosition(int page) {
    return JOURNAL_POSITION + journalBytes() + (long) page * PAGE_BYTES;
  }

  /// Where in the file a byte of the disk is, if its block is there.
  long dataPosition(long offsetBytes) {
    return Math.ceilDiv(mapPosition(mapPages()), DATA_ALIGNMENT) * DATA_ALIGNMENT + offsetBytes;
  }

  /// How long the file is, holes included.
  long fileBytes() {
    return dataPosition(blocks() * BLOCK_BYTES);
  }

  /// Where a block of the disk starts.
  static long start(long block) {
    return block * BLOCK_BYTES;
  }

  /// Where a block of the disk ends: the last one may be short.
  long end(long block) {
    return Math.min(sizeBytes, (block + 1) * BLOCK_BYTES);
  }

  static long blockOf(long offsetBytes) {
    return offsetBytes / BLOCK_BYTES;
  }
}
