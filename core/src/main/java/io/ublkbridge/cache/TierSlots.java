package io.ublkbridge.cache;

import java.lang.foreign.Arena;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// What the lanes of a disk tier share: which block is where, which header pages are out of date,
/// and the counts of it all.
///
/// Any thread; the lock is this object's, held for a few memory accesses and never while anything
/// waits. Writing a header page into memory takes longest: microseconds, once for many blocks.
final class TierSlots {
  static final int NONE = -1;

  /// A file that found no room tries again after so many blocks.
  private static final int BLOCKS_BETWEEN_ATTEMPTS = 4096;

  private final TierIdentity identity;
  private final TierLayout layout;
  private final SlotTable table;
  private final HeaderPages pages;
  private final int growthSlots;
  private final int keptMax;
  private @Nullable String off;
  private boolean growing;
  private boolean roomless;
  private int blocksUntilAttempt;
  private int keptCount;
  private long hits;
  private long misses;
  private long writes;
  private long dropped;
  private long corrupt;

  /// @param arena where the table lives
  /// @param slotsMax how many slots the file may ever have; at least 1
  /// @param growthSlots by how many it grows at once
  /// @param keptMax how many frames may be kept at once
  TierSlots(Arena arena, TierIdentity identity, int slotsMax, int growthSlots, int keptMax) {
    this.identity = identity;
    this.layout = new TierLayout(identity.blockBytes());
    this.table = new SlotTable(arena, slotsMax);
    this.pages = new HeaderPages(TierLayout.pageOf(slotsMax - 1) + 1);
    this.growthSlots = Math.min(growthSlots, slotsMax);
    this.keptMax = keptMax;
  }

  /// How many frames are kept at once at most, until their blocks are in the file.
  int keptMax() {
    return keptMax;
  }

  /// Takes over what an earlier use left: the headers of `count` more slots.
  synchronized void recover(SlotHeaders headers, int count) {
    long blockCount = (identity.sizeBytes() - 1) / identity.blockBytes() + 1;
    for (int i = 0; i < count; i++) {
      long block = headers.block(i);
      if (headers.valid(i, identity) && block >= 0 && block < blockCount) {
        table.growValid(block, headers.blockCrc(i));
      } else {
        table.grow(1);
      }
    }
  }

  /// Finds a block and holds its slot for a reader.
  ///
  /// @return the slot, until [#hit], [#lost] or [#unread]; or [#NONE] for a miss
  synchronized int pin(long block) {
    int slot = off == null ? table.find(block) : NONE;
    if (slot == NONE || !table.pin(slot)) {
      misses++;
      return NONE;
    }
    return slot;
  }

  /// The CRC32C that the block in a pinned slot has.
  synchronized int crc(int slot) {
    return table.crc(slot);
  }

  /// A reader found the block.
  synchronized void hit(int slot) {
    hits++;
    table.unpin(slot);
  }

  /// A reader found something else. The slot is empty from now on.
  synchronized void lost(int slot) {
    corrupt++;
    misses++;
    if (table.valid(slot)) {
      table.drop(slot);
      pages.changed(TierLayout.pageOf(slot));
    }
    table.unpin(slot);
  }

  /// A reader could not read.
  synchronized void unread(int slot) {
    misses++;
    table.unpin(slot);
  }

  /// A lane has no operation free for a read.
  synchronized void missed() {
    misses++;
  }

  /// A lane has no operation free for a write.
  synchronized void overloaded() {
    dropped++;
  }

  /// Gives a slot to a block, and counts one more frame that is kept.
  ///
  /// @return the slot, until [#written] or [#unwritten]; or [#NONE] if the block is there already,
  ///   or is not taken
  synchronized int take(long block) {
    if (off != null || table.find(block) != NONE) {
      return NONE;
    }
    boolean roomComes = table.freeCount() == 0 && growing;
    int slot = roomComes || keptCount == keptMax ? NONE : table.take(block);
    if (slot == NONE) {
      dropped++;
    } else {
      keptCount++;
    }
    if (blocksUntilAttempt > 0) {
      blocksUntilAttempt--;
    }
    return slot;
  }

  /// The block is in the file.
  synchronized void written(int slot, int crc) {
    keptCount--;
    writes++;
    table.publish(slot, crc);
    pages.changed(TierLayout.pageOf(slot));
  }

  /// The block did not get into the file.
  synchronized void unwritten(int slot) {
    keptCount--;
    dropped++;
    table.release(slot);
  }

  /// Whether the file should grow now; whoever asks and hears so has it grow.
  ///
  /// @return how many slots it should have then; 0 if it is long enough
  synchronized int startGrowing() {
    boolean wanted =
        off == null
            && !growing
            && blocksUntilAttempt == 0
            && table.slotCount() < table.slotsMax()
            && table.freeCount() <= growthSlots / 2;
    if (!wanted) {
      return 0;
    }
    growing = true;
    return (int) Math.min(table.slotsMax(), (long) table.slotCount() + growthSlots);
  }

  /// The file has so many slots now.
  synchronized void grown(int slotCount) {
    growing = false;
    roomless = false;
    table.grow(slotCount - table.slotCount());
  }

  /// The file found no room.
  ///
  /// @return whether that is news
  synchronized boolean notGrown() {
    growing = false;
    blocksUntilAttempt = BLOCKS_BETWEEN_ATTEMPTS;
    boolean news = !roomless;
    roomless = true;
    return news;
  }

  synchronized boolean growing() {
    return growing;
  }

  synchronized int slotCount() {
    return table.slotCount();
  }

  /// Takes the next header page that the file has yet to learn of.
  ///
  /// @param into gets it
  /// @return the page, until [#pageWritten]; or [#NONE]
  synchronized int takePage(SlotHeaders into) {
    int page = off == null ? pages.take() : HeaderPages.NONE;
    if (page == HeaderPages.NONE) {
      return NONE;
    }
    int first = page * TierLayout.HEADERS_PER_PAGE;
    for (int i = 0; i < TierLayout.HEADERS_PER_PAGE; i++) {
      int slot = first + i;
      if (slot < table.slotCount() && table.valid(slot)) {
        into.write(i, identity, table.block(slot), table.crc(slot));
      } else {
        into.writeEmpty(i);
      }
    }
    return page;
  }

  synchronized void pageWritten(int page, boolean done) {
    pages.written(page, done);
  }

  /// Ends the tier's use.
  ///
  /// @return whether it was used until now
  synchronized boolean turnOff(String reason) {
    boolean was = off == null;
    if (was) {
      off = reason;
    }
    return was;
  }

  synchronized Map<String, Object> details() {
    Map<String, Object> details = new LinkedHashMap<>();
    details.put("state", off == null ? "on" : "off: " + off);
    details.put("cachedBytes", (long) table.validCount() * layout.blockBytes());
    details.put("size", (long) table.slotCount() * layout.blockBytes());
    details.put("hits", hits);
    details.put("misses", misses);
    details.put("writes", writes);
    details.put("dropped", dropped);
    details.put("corrupt", corrupt);
    return details;
  }
}
