package io.ublkbridge.cache;

import io.ublkbridge.target.BlockRequest;
import java.lang.foreign.MemorySegment;

/// A disk in blocks of the cache; the last one may be shorter.
///
/// @param blockBytes a power of two
record BlockMap(long sizeBytes, int blockBytes) {
  BlockMap {
    if (sizeBytes <= 0 || Integer.bitCount(blockBytes) != 1) {
      throw new IllegalArgumentException(sizeBytes + " bytes in blocks of " + blockBytes);
    }
  }

  long count() {
    return blockOf(sizeBytes - 1) + 1;
  }

  /// The block with this byte of the disk.
  long blockOf(long offsetBytes) {
    return offsetBytes >>> Integer.numberOfTrailingZeros(blockBytes);
  }

  long startOf(long block) {
    return block << Integer.numberOfTrailingZeros(blockBytes);
  }

  /// Where the block ends: the next one's start, or the end of the disk.
  long endOf(long block) {
    return Math.min(sizeBytes, startOf(block) + blockBytes);
  }

  int lengthOf(long block) {
    return (int) (endOf(block) - startOf(block));
  }

  /// Gives a READ what `frame` has of its range.
  void store(BlockRequest request, long block, MemorySegment frame) {
    long start = startOf(block);
    long from = Math.max(start, request.offsetBytes());
    long to = Math.min(endOf(block), request.offsetBytes() + request.lengthBytes());
    request.storePayload(from - request.offsetBytes(), frame.asSlice(from - start, to - from));
  }
}
