package io.ublkbridge.cache;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import java.lang.foreign.MemorySegment;
import java.util.SplittableRandom;

/// Contents that never change, for tests: each block's bytes follow from its number. Some blocks
/// are all zeroes, some are like others, and the last one is shorter.
final class TierContents {
  private final long seed;
  private final int blockCount;
  private final int blockBytes;
  private final int lastBytes;

  TierContents(long seed, int blockCount, int blockBytes) {
    this.seed = seed;
    this.blockCount = blockCount;
    this.blockBytes = blockBytes;
    int lasts = blockBytes / 512;
    this.lastBytes = 512 * (1 + (int) Long.remainderUnsigned(seed, lasts));
  }

  TierIdentity identity() {
    long sizeBytes = (blockCount - 1L) * blockBytes + lastBytes;
    return new TierIdentity("test:" + seed, sizeBytes, blockBytes);
  }

  int blockCount() {
    return blockCount;
  }

  int blockBytes() {
    return blockBytes;
  }

  int lengthBytes(long block) {
    return block == blockCount - 1 ? lastBytes : blockBytes;
  }

  byte[] bytes(long block) {
    byte[] bytes = new byte[lengthBytes(block)];
    long kind = block % 5;
    if (kind != 3) {
      new SplittableRandom(seed + (kind == 4 ? 0 : block)).nextBytes(bytes);
    }
    return bytes;
  }

  void fill(long block, MemorySegment memory) {
    byte[] bytes = bytes(block);
    MemorySegment.copy(bytes, 0, memory, JAVA_BYTE, 0, bytes.length);
  }
}
