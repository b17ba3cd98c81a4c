package io.ublkbridge.cache;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// Which block is in which slot, and which slot is to be given up next (CLOCK).
///
/// ```
/// FREE ─take→ WRITING ─publish→ VALID
///   ↑            │                │ take, for another block
///   └──release───┴────drop────────┘ once nobody reads the slot any more
/// ```
///
/// A slot that is written or read is never taken. Everything is off the heap: 14 bytes a slot, and
/// a hash table (open addressing, linear probing) of 8 to 16 more. Guarded by its owner's lock.
final class SlotTable {
  static final int NONE = -1;

  /// What the hash table's size allows.
  static final int SLOTS_MAX = 1 << 27;

  /// How many slots are passed over for having been read lately, before that counts no more.
  private static final int SWEEP_MAX = 128;

  private static final int READERS_MAX = 255;

  private static final byte FREE = 0;
  private static final byte WRITING = 1;
  private static final byte VALID = 2;
  private static final byte STATE = 3;

  /// Read since the hand came by.
  private static final byte REFERENCED = 4;

  private final int slotsMax;

  /// A used slot's block; a free slot's successor in the list of free slots.
  private final MemorySegment blocks;

  private final MemorySegment crcs;
  private final MemorySegment flags;
  private final MemorySegment readers;

  /// Slot + 1, or 0 where nothing is.
  private final MemorySegment buckets;

  private final int bucketMask;
  private int slotCount;
  private int validCount;
  private int freeCount;
  private int freeHead = NONE;
  private int hand;

  SlotTable(Arena arena, int slotsMax) {
    this.slotsMax = slotsMax;
    int bucketCount = Integer.highestOneBit(Math.max(1, slotsMax)) << 2;
    this.bucketMask = bucketCount - 1;
    this.blocks = arena.allocate(JAVA_LONG, slotsMax);
    this.crcs = arena.allocate(JAVA_INT, slotsMax);
    this.flags = arena.allocate(slotsMax);
    this.readers = arena.allocate(slotsMax);
    this.buckets = arena.allocate(JAVA_INT, bucketCount);
  }

  int slotCount() {
    return slotCount;
  }

  int slotsMax() {
    return slotsMax;
  }

  int validCount() {
    return validCount;
  }

  int freeCount() {
    return freeCount;
  }

  /// Makes `count` more slots, to be filled before any is given up.
  void grow(int count) {
    int first = slotCount;
    slotCount += count;
    // The lowest comes first.
    for (int slot = slotCount - 1; slot >= first; slot--) {
      free(slot);
    }
  }

  /// Makes one more slot with what was found in it.
  ///
  /// @return false if the block is in another slot already; this one is free then
  boolean growValid(long block, int crc) {
    int slot = slotCount++;
    if (find(block) != NONE) {
      free(slot);
      return false;
    }
    put(slot, block, VALID);
    crcs.setAtIndex(JAVA_INT, slot, crc);
    validCount++;
    return true;
  }

  /// The slot that holds the block, or is about to; or [#NONE].
  int find(long block) {
    int bucket = bucketOf(block);
    while (true) {
      int slot = buckets.getAtIndex(JAVA_INT, bucket) - 1;
      if (slot == NONE || block(slot) == block) {
        return slot;
      }
      bucket = (bucket + 1) & bucketMask;
    }
  }

  /// Holds a slot for a reader, until [#unpin].
  ///
  /// @return false if there is nothing to read in it now
  boolean pin(int slot) {
    int count = Byte.toUnsignedInt(readers.get(JAVA_BYTE, slot));
    if (state(slot) != VALID || count == READERS_MAX) {
      return false;
    }
    readers.set(JAVA_BYTE, slot, (byte) (count + 1));
    flags.set(JAVA_BYTE, slot, (byte) (VALID | REFERENCED));
    return true;
  }

  void unpin(int slot) {
    int count = Byte.toUnsignedInt(readers.get(JAVA_BYTE, slot));
    assert count > 0 : "slot " + slot + " has no reader";
    readers.set(JAVA_BYTE, slot, (byte) (count - 1));
    if (count == 1 && state(slot) == FREE) {
      free(slot);
    }
  }

  /// Gives a slot to a block that is in none; what was in it is forgotten.
  ///
  /// @return the slot, to be published or released; or [#NONE] if all are in use
  int take(long block) {
    int slot = freeHead;
    if (slot != NONE) {
      freeHead = (int) block(slot);
      freeCount--;
    } else {
      slot = victim();
      if (slot == NONE) {
        return NONE;
      }
      forget(slot);
      validCount--;
    }
    put(slot, block, WRITING);
    return slot;
  }

  /// The block is in its slot now.
  void publish(int slot, int crc) {
    assert state(slot) == WRITING : "slot " + slot + " is not being written";
    crcs.setAtIndex(JAVA_INT, slot, crc);
    flags.set(JAVA_BYTE, slot, VALID);
    validCount++;
  }

  /// The block did not get into its slot.
  void release(int slot) {
    assert state(slot) == WRITING : "slot " + slot + " is not being written";
    forget(slot);
    free(slot);
  }

  /// What is in the slot is not the block. Readers may still hold the slot.
  void drop(int slot) {
    if (state(slot) == VALID) {
      forget(slot);
      validCount--;
      flags.set(JAVA_BYTE, slot, FREE);
      if (readers.get(JAVA_BYTE, slot) == 0) {
        free(slot);
      }
    }
  }

  boolean valid(int slot) {
    return state(slot) == VALID;
  }

  long block(int slot) {
    return blocks.getAtIndex(JAVA_LONG, slot);
  }

  int crc(int slot) {
    return crcs.getAtIndex(JAVA_INT, slot);
  }

  private int state(int slot) {
    return flags.get(JAVA_BYTE, slot) & STATE;
  }

  private void free(int slot) {
    flags.set(JAVA_BYTE, slot, FREE);
    blocks.setAtIndex(JAVA_LONG, slot, freeHead);
    freeHead = slot;
    freeCount++;
  }

  private int victim() {
    long stepsMax = Math.min(2L * slotCount, 2L * SWEEP_MAX);
    for (int step = 0; step < stepsMax; step++) {
      int slot = hand;
      hand = slot + 1 == slotCount ? 0 : slot + 1;
      byte flag = flags.get(JAVA_BYTE, slot);
      if ((flag & STATE) != VALID || readers.get(JAVA_BYTE, slot) != 0) {
        continue;
      }
      if ((flag & REFERENCED) != 0 && step < SWEEP_MAX && step < slotCount) {
        flags.set(JAVA_BYTE, slot, VALID);
        continue;
      }
      return slot;
    }
    return NONE;
  }

  private int bucketOf(long block) {
    long hash = block * 0x9E3779B97F4A7C15L;
    return (int) (hash >>> 32) & bucketMask;
  }

  private void put(int slot, long block, byte state) {
    blocks.setAtIndex(JAVA_LONG, slot, block);
    flags.set(JAVA_BYTE, slot, state);
    int bucket = bucketOf(block);
    while (buckets.getAtIndex(JAVA_INT, bucket) != 0) {
      bucket = (bucket + 1) & bucketMask;
    }
    buckets.setAtIndex(JAVA_INT, bucket, slot + 1);
  }

  /// Takes the slot's block out of the hash table, and moves up what probed past it.
  private void forget(int slot) {
    int gap = bucketOf(block(slot));
    while (buckets.getAtIndex(JAVA_INT, gap) != slot + 1) {
      gap = (gap + 1) & bucketMask;
    }
    int bucket = gap;
    while (true) {
      bucket = (bucket + 1) & bucketMask;
      int entry = buckets.getAtIndex(JAVA_INT, bucket);
      if (entry == 0) {
        break;
      }
      int wanted = bucketOf(block(entry - 1));
      if (((bucket - wanted) & bucketMask) >= ((bucket - gap) & bucketMask)) {
        buckets.setAtIndex(JAVA_INT, gap, entry);
        gap = bucket;
      }
    }
    buckets.setAtIndex(JAVA_INT, gap, 0);
  }
}
