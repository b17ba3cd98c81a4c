package io.ublkbridge.cache;

import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.InternalRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import io.ublkbridge.target.TargetQueue;
import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/// Replays a block trace through a [CachedQueue], one read of one block for each access, and
/// through an LRU of as many blocks, and prints both hit ratios.
///
/// The trace is a file of block numbers, little-endian ints, as that of CloudPhysics in Caffeine's
/// simulator (`cloud_physics/w106.trace.xz`, unpacked). Run by hand; see `docs/benchmarks.md`.
final class TraceReplay {
  /// Small, since the contents do not matter.
  private static final int BLOCK = 512;

  private TraceReplay() {}

  /// Prints the hit ratios.
  ///
  /// @param arguments the unpacked trace, then cache sizes in percent of its distinct blocks
  public static void main(String[] arguments) throws IOException {
    int[] trace = read(Path.of(arguments[0]));
    long distinct = IntStream.of(trace).distinct().count();
    System.out.printf("%d accesses, %d distinct blocks%n", trace.length, distinct);
    for (String percent : Arrays.copyOfRange(arguments, 1, arguments.length)) {
      int blocks = (int) (distinct * Double.parseDouble(percent) / 100);
      System.out.printf(
          "%5s %%  LRU %.2f %%  cache %.2f %%%n",
          percent, 100 * lru(trace, blocks), 100 * cache(trace, blocks));
    }
  }

  private static int[] read(Path file) throws IOException {
    int[] trace = new int[(int) (Files.size(file) / Integer.BYTES)];
    try (DataInputStream in =
        new DataInputStream(new BufferedInputStream(Files.newInputStream(file)))) {
      for (int i = 0; i < trace.length; i++) {
        trace[i] = Integer.reverseBytes(in.readInt()) & Integer.MAX_VALUE;
      }
    } catch (EOFException e) {
      throw new IOException("the trace is not whole", e);
    }
    return trace;
  }

  private static double lru(int[] trace, int blocks) {
    Map<Integer, Boolean> cached =
        new LinkedHashMap<>(16, 0.75f, true) {
          private static final long serialVersionUID = 1L;

          @Override
          protected boolean removeEldestEntry(Map.Entry<Integer, Boolean> eldest) {
            return size() > blocks;
          }
        };
    long hits = 0;
    for (int block : trace) {
      if (cached.put(block, true) != null) {
        hits++;
      }
    }
    return (double) hits / trace.length;
  }

  private static double cache(int[] trace, int blocks) {
    CacheBudget budget = new CacheBudget(BLOCK, blocks, 16, 16, 0);
    BlockCache cache = new BlockCache(budget);
    BlockMap map = new BlockMap((long) Integer.MAX_VALUE * BLOCK + BLOCK, BLOCK);
    CacheCounters counters = new CacheCounters();
    CachedQueue queue =
        new CachedQueue(
            new Fills.Lane(cache, map, counters, new Instant(), null, 1),
            1,
            Runnable::run,
            new CachedQueue.Extras(0, null, null));
    OneRead request = new OneRead();
    for (int block : trace) {
      request.offsetBytes = (long) block * BLOCK;
      queue.submit(request);
    }
    cache.close();
    return (double) counters.of(CacheCounters.Count.HITS) / trace.length;
  }

  /// A request that is over before the next is made.
  private static final class OneRead extends InternalRequest {
    long offsetBytes;

    OneRead() {
      super(Operation.READ);
    }

    @Override
    public long offsetBytes() {
      return offsetBytes;
    }

    @Override
    public long lengthBytes() {
      return BLOCK;
    }

    @Override
    public void storePayload(long at, MemorySegment from) {}

    @Override
    public void complete() {}

    @Override
    public void fail(IoError error, @Nullable Throwable cause) {
      throw new IllegalStateException(error.toString(), cause);
    }
  }

  /// Answers at once, with zeroes.
  private static final class Instant implements TargetQueue {
    private final MemorySegment zeroes = Arena.ofAuto().allocate(BLOCK);

    @Override
    public void submit(BlockRequest request) {
      request.storePayload(0, zeroes.asSlice(0, request.lengthBytes()));
      request.complete();
    }

    @Override
    public void close() {}
  }
}
