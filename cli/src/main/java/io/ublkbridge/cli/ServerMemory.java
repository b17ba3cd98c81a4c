package io.ublkbridge.cli;

import io.ublkbridge.device.TargetRegistry;
import io.ublkbridge.target.ByteSize;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetUri;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// What a server's JVM may use, in MiB: enough for the cache that it will have.
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

  /// @param source the target's URI, whose kind decides where no option does
  /// @param options of the target and what stands in front of it, by name
  static ServerMemory of(String source, Map<String, String> options) {
    String cache = options.get("cache");
    long cacheBytes = cache == null ? usualCacheBytes(source) : size(cache, 0);
    long blockBytes = Math.max(1, size(options.get("cache-block"), CACHE_BLOCK_BYTES));
    long blocks = cacheBytes / blockBytes;
    long more = blocks <= BLOCKS_AT_HOME ? 0 : blocks * HEAP_BYTES_PER_BLOCK / MIB;
    return new ServerMemory(HEAP_MIB + more, DIRECT_MIB + cacheBytes / MIB);
  }

  /// What no provider knows is for the server to refuse.
  private static long usualCacheBytes(String source) {
    try {
      return TargetRegistry.load().cacheBytesByDefault(TargetUri.parse(source));
    } catch (TargetOpenException e) {
      return 0;
    }
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
