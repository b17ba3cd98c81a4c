package io.ublkbridge.cli;

import io.ublkbridge.device.TargetRegistry;
import io.ublkbridge.target.ByteSize;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetUri;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// What a server's JVM may use, in MiB: enough for the cache that it will have.
///
/// @param heap that is there from the start
/// @param direct memory outside of the heap, a limit only
record ServerMemory(long heap, long direct) {
  private static final long HEAP_MIB = 64;

  /// For what is on this machine, without network, cache and overlay.
  private static final long LOCAL_HEAP_MIB = 32;

  private static final Set<String> LOCAL_SCHEMES = Set.of("file", "memory", "null");

  /// Requests of all queues that the small heap has room for, many times over.
  private static final long LOCAL_REQUESTS_MAX = 4096;

  private static final long DIRECT_MIB = 4096;
  private static final long MIB = 1 << 20;
  private static final long CACHE_BLOCK_BYTES = 64 << 10;

  /// Heap for a block of the cache, twice what it takes.
  private static final long HEAP_BYTES_PER_BLOCK = 640;

  /// So many blocks are at home in the usual heap.
  private static final long BLOCKS_AT_HOME = 64 << 10;

  /// @param source the target's URI, whose kind decides where no option does
  /// @param options of the target and what stands in front of it, by name
  /// @param requests that may be under way on all queues
  static ServerMemory of(String source, Map<String, String> options, long requests) {
    String cache = options.get("cache");
    long cacheBytes = cache == null ? usualCacheBytes(source) : size(cache, 0);
    long blockBytes = Math.max(1, size(options.get("cache-block"), CACHE_BLOCK_BYTES));
    long blocks = cacheBytes / blockBytes;
    long more = blocks <= BLOCKS_AT_HOME ? 0 : blocks * HEAP_BYTES_PER_BLOCK / MIB;
    boolean small =
        cacheBytes == 0
            && !options.containsKey("overlay")
            && requests <= LOCAL_REQUESTS_MAX
            && LOCAL_SCHEMES.contains(source.substring(0, Math.max(0, source.indexOf(':'))));
    long heap = small ? LOCAL_HEAP_MIB : HEAP_MIB;
    return new ServerMemory(heap + more, DIRECT_MIB + cacheBytes / MIB);
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
