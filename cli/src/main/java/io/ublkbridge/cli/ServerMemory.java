package io.ublkbridge.cli;

import io.ublkbridge.target.ByteSize;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// What a server's JVM may use, in MiB: enough for the cache that it is asked for.
///
/// @param heap that is there from the start
/// @param direct memory outside of the heap, a limit only
record ServerMemory(long heap, long direct) {
  private static final long HEAP_MIB = 64;
  private static final long DIRECT_MIB = 4096;
  private static final long MIB = 1 << 20;
  private static final long CACHE_BLOCK_BYTES = 64 << 10;

  /// Heap for a block of the cache, twice what it takes.
  private static final long HEAP_BYTES_PER_BLOCK = 640;

  /// So many blocks are at home in the usual heap.
  private static final long BLOCKS_AT_HOME = 64 << 10;

  /// @param options of the target and what stands in front of it, by name
  static ServerMemory of(Map<String, String> options) {
    long cacheBytes = size(options.get("cache"), 0);
    long blockBytes = Math.max(1, size(options.get("cache-block"), CACHE_BLOCK_BYTES));
    long blocks = cacheBytes / blockBytes;
    long more = blocks <= BLOCKS_AT_HOME ? 0 : blocks * HEAP_BYTES_PER_BLOCK / MIB;
    return new ServerMemory(HEAP_MIB + more, DIRECT_MIB + cacheBytes / MIB);
  }

  /// What cannot be read is for the server to refuse.
  private static long size(@Nullable String text, long otherwise) {
    if (text == null) {
      return otherwise;
    }
    try {
      return ByteSize.parse(text);
    } catch (IllegalArgumentException e) {
      return otherwise;
    }
  }
}
