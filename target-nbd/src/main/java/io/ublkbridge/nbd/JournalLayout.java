package io.ublkbridge.nbd;

/// Where things are in a journal's file, in bytes.
///
/// ```
/// ┌────────┬────────────┬─────┬────────────┬───────────────┬─────┬───────────────┐
/// │ header │ entries of │ ... │ entries of │ slots of      │ ... │ slots of      │
/// │ 1 page │ queue 0    │     │ the last   │ queue 0       │     │ the last      │
/// └────────┴────────────┴─────┴────────────┴───────────────┴─────┴───────────────┘
/// ```
///
/// @param queues how many queues write to it
/// @param entries how many modifications a queue can remember
/// @param slots how many buffers a queue can send from
/// @param slotBytes how long each is: whole pages
record JournalLayout(int queues, int entries, int slots, int slotBytes) {
  static final int PAGE_BYTES = 4096;
  static final int ENTRY_BYTES = 64;

  /// More of anything is a damaged file.
  private static final int COUNT_MAX = 1 << 22;

  private static final int SLOT_BYTES_MAX = 1 << 30;

  /// One entry for so many bytes of payload: writes of a page use up the payload first.
  private static final int BYTES_PER_ENTRY = 2048;

  private static final int ENTRIES_MIN = 1024;

  JournalLayout {
    if (queues < 1
        || entries < 1
        || slots < 1
        || slotBytes < PAGE_BYTES
        || queues > COUNT_MAX
        || entries > COUNT_MAX
        || slots > COUNT_MAX
        || slotBytes > SLOT_BYTES_MAX
        || slotBytes % PAGE_BYTES != 0) {
      throw new IllegalArgumentException(
          "%d queues of %d entries and %d slots of %d bytes"
              .formatted(queues, entries, slots, slotBytes));
    }
  }

  /// The layout for queues that keep so much each.
  ///
  /// @param bytesMax of payload of one queue
  /// @param requestBytesMax the longest request with its header
  /// @param connections of one queue: each fills a buffer of its own
  static JournalLayout of(int queues, long bytesMax, int requestBytesMax, int connections) {
    int slotBytes = toPages(Math.max(SendBuffers.BUFFER_BYTES, requestBytesMax));
    long slots = Math.ceilDiv(bytesMax, slotBytes) + connections + 1;
    long entries = Math.max(ENTRIES_MIN, bytesMax / BYTES_PER_ENTRY);
    return new JournalLayout(
        queues, (int) Math.min(COUNT_MAX, entries), (int) Math.min(COUNT_MAX, slots), slotBytes);
  }

  private static int toPages(int bytes) {
    return Math.ceilDiv(bytes, PAGE_BYTES) * PAGE_BYTES;
  }

  private long tableBytes() {
    return toPages(entries * ENTRY_BYTES);
  }

  long entryAt(int queue, int index) {
    return PAGE_BYTES + queue * tableBytes() + (long) index * ENTRY_BYTES;
  }

  /// Header and tables: where the first slot begins.
  long tablesEnd() {
    return PAGE_BYTES + queues * tableBytes();
  }

  long slotAt(int queue, int slot) {
    return tablesEnd() + ((long) queue * slots + slot) * slotBytes;
  }

  long fileBytes() {
    return slotAt(queues, 0);
  }
}
