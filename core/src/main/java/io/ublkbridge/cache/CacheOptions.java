package io.ublkbridge.cache;

import com.sun.management.OperatingSystemMXBean;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.ByteSize;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.Optional;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/// What the cache of a device is to be.
///
/// @param cacheBytes for blocks in the cache; 0 for no cache
/// @param blockBytes a power of two
/// @param readaheadBytes how far ahead to read at most; 0 for not at all
/// @param record where to write what this run touches
/// @param prefetch what an earlier run has touched
record CacheOptions(
    long cacheBytes,
    int blockBytes,
    long readaheadBytes,
    Optional<Path> record,
    Optional<Path> prefetch) {
  static final String OFF = "off";

  private static final int BLOCK_BYTES_MIN = 4 << 10;
  private static final int BLOCK_BYTES_MAX = 1 << 20;
  private static final int BLOCK_BYTES_DEFAULT = 64 << 10;
  private static final long READAHEAD_BYTES_DEFAULT = 8 << 20;
  private static final long READAHEAD_BYTES_MAX = 256 << 20;

  /// Heap that a block of the cache takes, whatever its size: key, entry, frame.
  private static final long HEAP_BYTES_PER_BLOCK = 320;

  /// What the machine has.
  ///
  /// @param memory all of its memory, in bytes; asked only for a cache, since Java takes hundreds
  ///   of classes to find it out
  /// @param heapBytesMax this process's heap
  record Host(LongSupplier memory, long heapBytesMax) {
    static Host present() {
      return new Host(
          () ->
              ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class).getTotalMemorySize(),
          Runtime.getRuntime().maxMemory());
    }

    long memoryBytes() {
      return memory.getAsLong();
    }
  }

  /// Reads the options of a command.
  ///
  /// @param bytesByDefault as the kind of target has it; at most a quarter of the machine's memory
  ///   is taken
  /// @throws TargetOpenException if one of them makes no sense, here or with this target
  static CacheOptions of(OpenContext context, BlockTarget target, long bytesByDefault, Host host)
      throws TargetOpenException {
    int blockBytes = blockBytes(context, target);
    Optional<String> cache = context.option("cache");
    long cacheBytes =
        cache.isPresent()
            ? sizeOrOff("cache", cache.get())
            : bytesByDefault == 0 ? 0 : Math.min(bytesByDefault, host.memoryBytes() / 4);
    if (cacheBytes > 0) {
      checkSize(cacheBytes, blockBytes, host);
    } else {
      refuseWithoutCache(
          context, "cache-block", "readahead", "record", "prefetch", "cache-dir", "cache-disk");
    }
    Optional<String> readahead = context.option("readahead");
    long readaheadBytes =
        readahead.isPresent() ? sizeOrOff("readahead", readahead.get()) : READAHEAD_BYTES_DEFAULT;
    if (readaheadBytes > READAHEAD_BYTES_MAX
        || (readaheadBytes > 0 && readaheadBytes < ReadStream.WINDOW_BYTES_MIN)) {
      throw invalid(
          "--readahead: from 128K to 256M, or off, not " + ByteSize.format(readaheadBytes), null);
    }
    return new CacheOptions(
        cacheBytes,
        blockBytes,
        readaheadBytes,
        context.option("record").map(Path::of),
        context.option("prefetch").map(Path::of));
  }

  private static int blockBytes(OpenContext context, BlockTarget target)
      throws TargetOpenException {
    int targetMax = target.geometry().maxIoBytes();
    Optional<String> given = context.option("cache-block");
    if (given.isEmpty()) {
      return Math.min(BLOCK_BYTES_DEFAULT, Integer.highestOneBit(targetMax));
    }
    long bytes = size("cache-block", given.get());
    if (bytes < BLOCK_BYTES_MIN || bytes > BLOCK_BYTES_MAX || Long.bitCount(bytes) != 1) {
      throw invalid(
          "--cache-block: a power of two from 4K to 1M, not " + ByteSize.format(bytes), null);
    }
    if (bytes > targetMax) {
      throw invalid(
          "--cache-block: this target gives at most "
              + ByteSize.format(targetMax)
              + " at once, less than "
              + ByteSize.format(bytes),
          null);
    }
    return (int) bytes;
  }

  private static void checkSize(long cacheBytes, int blockBytes, Host host)
      throws TargetOpenException {
    long blocks = cacheBytes / blockBytes;
    if (blocks < CacheBudget.BLOCKS_MIN) {
      throw invalid(
          "--cache: at least 16 blocks, "
              + ByteSize.format((long) CacheBudget.BLOCKS_MIN * blockBytes)
              + ", not "
              + ByteSize.format(cacheBytes),
          "off for none, or smaller blocks with --cache-block");
    }
    if (cacheBytes > host.memoryBytes()) {
      throw invalid(
          "--cache: this machine has "
              + ByteSize.format(host.memoryBytes())
              + " of memory, less than "
              + ByteSize.format(cacheBytes),
          null);
    }
    long blocksMax = host.heapBytesMax() / 2 / HEAP_BYTES_PER_BLOCK;
    if (blocks > blocksMax) {
      throw invalid(
          "--cache: "
              + ByteSize.format(cacheBytes)
              + " in blocks of "
              + ByteSize.format(blockBytes)
              + " are more blocks than the server can keep in mind",
          "larger blocks with --cache-block, or at most "
              + ByteSize.format(blocksMax * blockBytes));
    }
  }

  private static void refuseWithoutCache(OpenContext context, String... names)
      throws TargetOpenException {
    for (String name : names) {
      Optional<String> value = context.option(name);
      if (value.isPresent() && !value.get().equals(OFF)) {
        throw invalid("--" + name + ": there is no cache", "add --cache SIZE, such as 256M");
      }
    }
  }

  private static long sizeOrOff(String name, String text) throws TargetOpenException {
    return text.equals(OFF) ? 0 : size(name, text);
  }

  private static long size(String name, String text) throws TargetOpenException {
    try {
      return ByteSize.parse(text);
    } catch (IllegalArgumentException e) {
      throw invalid("--" + name + ": " + e.getMessage(), null);
    }
  }

  private static TargetOpenException invalid(String message, @Nullable String remedy) {
    return new TargetOpenException(Reason.INVALID, message, remedy);
  }
}
