package io.ublkbridge.cache;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/// One read or write of a tier's file that is under way. Made once, used again and again. Confined
/// to its lane's event loop.
final class TierOperation {
  /// What is transferred, and so what comes next.
  enum Kind {
    READ,
    WRITE,
    HEADERS
  }

  private final Kind kind;
  private final int tag;

  /// The next one of those that are idle.
  @Nullable TierOperation next;

  /// The slot, or the header page.
  int number;

  /// The block's CRC32C.
  int crc;

  /// The block's memory.
  MemorySegment memory = MemorySegment.NULL;

  BlockTier.@Nullable Answer answer;
  @Nullable BlockBuffer kept;
  private long positionBytes;
  private long address;
  private int remainingBytes;
  private int retries;

  TierOperation(Kind kind, int tag) {
    this.kind = kind;
    this.tag = tag;
  }

  int tag() {
    return tag;
  }

  Kind kind() {
    return kind;
  }

  void aim(long positionBytes, long address, int lengthBytes) {
    this.positionBytes = positionBytes;
    this.address = address;
    this.remainingBytes = lengthBytes;
    this.retries = 0;
  }

  void start(TierIo io) {
    if (kind == Kind.READ) {
      io.read(tag, positionBytes, address, remainingBytes);
    } else {
      io.write(tag, positionBytes, address, remainingBytes);
    }
  }

  /// Counts what was transferred. Direct I/O goes on at a page's beginning only.
  ///
  /// @return whether that was all
  boolean advance(int doneBytes) {
    int pagesBytes = doneBytes & -TierLayout.PAGE_BYTES;
    positionBytes += pagesBytes;
    address += pagesBytes;
    remainingBytes -= pagesBytes;
    return remainingBytes == 0;
  }

  int countRetry() {
    return ++retries;
  }

  /// Lets go of everything that is not its own.
  void vacate() {
    memory = MemorySegment.NULL;
    answer = null;
    kept = null;
  }
}
