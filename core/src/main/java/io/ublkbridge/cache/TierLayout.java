package io.ublkbridge.cache;

/// Where things are in a tier's file. Pure arithmetic, in bytes from the file's beginning:
///
/// ```
/// label page     4 KiB; for a person who wonders what the file is, read by nobody else
/// group 0        header pages: 8 × 4 KiB, 128 headers of 32 bytes each
///                slots: 1024 × slotBytes
/// group 1        …
/// ```
///
/// The file ends behind its last slot, wherever in a group that is: it grows and shrinks by slots.
///
/// @param blockBytes how much of the contents one slot holds
record TierLayout(int blockBytes) {
  static final int PAGE_BYTES = 4096;
  static final int HEADERS_PER_PAGE = PAGE_BYTES / SlotHeaders.BYTES;
  static final int PAGES_PER_GROUP = 8;
  static final int SLOTS_PER_GROUP = PAGES_PER_GROUP * HEADERS_PER_PAGE;
  static final int GROUP_HEADER_BYTES = PAGES_PER_GROUP * PAGE_BYTES;

  TierLayout {
    if (blockBytes < 512) {
      throw new IllegalArgumentException("a block cannot have " + blockBytes + " bytes");
    }
  }

  /// What a slot takes: a block in whole pages, as direct I/O wants it.
  int slotBytes() {
    return pages(blockBytes);
  }

  /// How many bytes to read or write for so many bytes of a block.
  static int pages(int lengthBytes) {
    return (lengthBytes + PAGE_BYTES - 1) & -PAGE_BYTES;
  }

  long groupPosition(int group) {
    return PAGE_BYTES + group * groupBytes();
  }

  private long groupBytes() {
    return GROUP_HEADER_BYTES + (long) SLOTS_PER_GROUP * slotBytes();
  }

  long slotPosition(int slot) {
    return groupPosition(slot / SLOTS_PER_GROUP)
        + GROUP_HEADER_BYTES
        + (long) (slot % SLOTS_PER_GROUP) * slotBytes();
  }

  static int pageOf(int slot) {
    return slot / HEADERS_PER_PAGE;
  }

  long pagePosition(int page) {
    return groupPosition(page / PAGES_PER_GROUP) + (long) (page % PAGES_PER_GROUP) * PAGE_BYTES;
  }

  /// How many whole slots a file of this length has, `slotsMax` at most.
  int slotCount(long fileBytes, int slotsMax) {
    if (fileBytes < slotPosition(0)) {
      return 0;
    }
    long groups = (fileBytes - PAGE_BYTES) / groupBytes();
    long rest = fileBytes - PAGE_BYTES - groups * groupBytes() - GROUP_HEADER_BYTES;
    long slots = groups * SLOTS_PER_GROUP + Math.max(0, rest / slotBytes());
    return (int) Math.min(slots, slotsMax);
  }

  /// How long a file with so many slots is.
  long fileBytes(int slotCount) {
    return slotCount == 0 ? PAGE_BYTES : slotPosition(slotCount - 1) + slotBytes();
  }
}
