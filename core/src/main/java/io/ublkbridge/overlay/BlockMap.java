package io.ublkbridge.overlay;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.BitSet;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/// Which block is where, for the whole disk: off the heap, one page of memory for each page of the
/// file's map that has anything but [BlockState#BASE] in it. At most 64 MiB per TiB.
///
/// Confined to the queue's event loop, but for the counts, which anyone may read.
///
/// ```
/// 0   magic "UBMP"
/// 4   CRC32C of the page
/// 8   number of the page, 8 bytes
/// 16  states, 2 bits each, lowest bits first: 16320 blocks, 63.75 MiB of the disk
/// ```
final class BlockMap implements AutoCloseable {
  static final int BLOCKS_PER_PAGE = (OverlayLayout.PAGE_BYTES - 16) * 4;

  private static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfLong LONG =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final int MAGIC = 'U' | 'B' << 8 | 'M' << 16 | 'P' << 24;
  private static final long CRC_AT = 4;
  private static final long NUMBER_AT = 8;
  private static final long STATES_AT = 16;

  private final Arena arena = Arena.ofShared();
  private final long blocks;
  private final @Nullable MemorySegment[] pages;
  private final BitSet dirty = new BitSet();
  private final AtomicLong dataBlocks = new AtomicLong();
  private final AtomicLong zeroBlocks = new AtomicLong();

  BlockMap(OverlayLayout layout) {
    this.blocks = layout.blocks();
    this.pages = new @Nullable MemorySegment[layout.mapPages()];
  }

  BlockState state(long block) {
    MemorySegment page = pages[(int) (block / BLOCKS_PER_PAGE)];
    return page == null ? BlockState.BASE : state(page, (int) (block % BLOCKS_PER_PAGE));
  }

  private static BlockState state(MemorySegment page, int index) {
    return BlockState.of(code(page, index));
  }

  private static int code(MemorySegment page, int index) {
    return page.get(JAVA_BYTE, STATES_AT + index / 4) >> (index % 4 * 2) & 3;
  }

  /// Whether any block from `first` to before `end` is in this state.
  boolean any(long first, long end, BlockState state) {
    for (long block = first; block < end; block++) {
      if (state(block) == state) {
        return true;
      }
    }
    return false;
  }

  /// Changes the blocks from `first` to before `end`.
  void set(long first, long end, BlockState state) {
    for (long block = first; block < end; block++) {
      BlockState old = state(block);
      if (old != state) {
        int page = (int) (block / BLOCKS_PER_PAGE);
        int index = (int) (block % BLOCKS_PER_PAGE);
        MemorySegment memory = memory(page);
        int shift = index % 4 * 2;
        long at = STATES_AT + index / 4;
        int others = memory.get(JAVA_BYTE, at) & ~(3 << shift);
        memory.set(JAVA_BYTE, at, (byte) (others | state.code() << shift));
        dirty.set(page);
        count(old, -1);
        count(state, 1);
      }
    }
  }

  private void count(BlockState state, long change) {
    switch (state) {
      case BASE -> {}
      case DATA -> dataBlocks.setRelease(dataBlocks.getPlain() + change);
      case ZERO -> zeroBlocks.setRelease(zeroBlocks.getPlain() + change);
    }
  }

  private MemorySegment memory(int page) {
    MemorySegment memory = pages[page];
    if (memory == null) {
      memory = arena.allocate(OverlayLayout.PAGE_BYTES, 8);
      pages[page] = memory;
    }
    return memory;
  }

  /// Adds the pages that have changed since the last call.
  void takeDirty(BitSet into) {
    into.or(dirty);
    dirty.clear();
  }

  /// Counts a page as changed, because its change did not reach the file.
  void markDirty(int page) {
    dirty.set(page);
  }

  /// Makes the page as the file has it.
  void encode(int page, MemorySegment into) {
    MemorySegment memory = pages[page];
    if (memory == null) {
      into.fill((byte) 0);
    } else {
      into.copyFrom(memory);
    }
    into.set(INT, 0, MAGIC);
    into.set(LONG, NUMBER_AT, page);
    Checksum.put(into, CRC_AT);
  }

  /// The number of an encoded page.
  ///
  /// @return negative if it is not one, or not as it was written
  static int numberOf(MemorySegment encoded) {
    long number = encoded.get(LONG, NUMBER_AT);
    boolean sound =
        encoded.get(INT, 0) == MAGIC
            && number >= 0
            && number <= Integer.MAX_VALUE
            && Checksum.matches(encoded, CRC_AT);
    return sound ? (int) number : -1;
  }

  /// Takes a page from the file, in place of what is known of it.
  ///
  /// @return whether it is that page, and sound
  boolean decode(int page, MemorySegment encoded) {
    if (numberOf(encoded) != page) {
      return false;
    }
    long first = (long) page * BLOCKS_PER_PAGE;
    int count = (int) Math.min(BLOCKS_PER_PAGE, blocks - first);
    int data = 0;
    int zero = 0;
    for (int i = 0; i < BLOCKS_PER_PAGE; i++) {
      int code = code(encoded, i);
      if (code >= BlockState.COUNT || (code != 0 && i >= count)) {
        return false;
      }
      data += code == BlockState.DATA.code() ? 1 : 0;
      zero += code == BlockState.ZERO.code() ? 1 : 0;
    }
    if (data + zero > 0) {
      memory(page).copyFrom(encoded);
    }
    count(BlockState.DATA, data);
    count(BlockState.ZERO, zero);
    return true;
  }

  long dataBlocks() {
    return dataBlocks.getAcquire();
  }

  long zeroBlocks() {
    return zeroBlocks.getAcquire();
  }

  /// On a control thread, once the queue is closed.
  @Override
  public void close() {
    arena.close();
  }
}
