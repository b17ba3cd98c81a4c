package io.ublkbridge.s3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.netty.channel.embedded.EmbeddedChannel;
import io.netty.util.concurrent.MockTicker;
import io.netty.util.concurrent.Ticker;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// A store that is slow, and nothing else: everybody gets what they ask for, in their turn. On a
/// clock that nobody waits for.
final class SlowStoreTest {
  private static final int STEP_MILLIS = 100;
  private static final int RUN_SECONDS = 1200;
  private static final int LONG_READS = 16;
  private static final int LONG_BYTES = 512 << 10;
  private static final int SHORT_READS = 32;
  private static final int SHORT_BYTES = 64 << 10;

  private final MockTicker ticker = Ticker.newMockTicker();
  private final EmbeddedChannel channel = EmbeddedChannel.builder().ticker(ticker).build();
  private final StoreCounters counters = new StoreCounters();
  private long usefulBytes;
  private long longestNanos;

  /// Asks again as soon as it has an answer.
  private final class Reader implements ObjectStore.End {
    private final ObjectStore store;
    private final MemorySegment memory;
    private long sinceNanos;

    Reader(ObjectStore store, int lengthBytes) {
      this.store = store;
      this.memory = Arena.ofAuto().allocate(lengthBytes);
    }

    void ask() {
      sinceNanos = ticker.nanoTime();
      store.get(new ObjectVersion("k", "\"e\"", null, 1 << 30), 0, Destination.of(memory), this);
    }

    @Override
    public void ended(@Nullable StoreException failure) {
      if (failure != null) {
        throw new AssertionError("a healthy store fails after " + waited() + " s", failure);
      }
      usefulBytes += memory.byteSize();
      longestNanos = Math.max(longestNanos, ticker.nanoTime() - sinceNanos);
      channel.eventLoop().execute(this::ask);
    }

    private long waited() {
      return TimeUnit.NANOSECONDS.toSeconds(ticker.nanoTime() - sinceNanos);
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {32 << 10, 128 << 10, 512 << 10, 2 << 20, 32 << 20})
  void everybodyIsServedInTurn(int bytesPerSecond) {
    SlowStore slow = new SlowStore(bytesPerSecond, counters);
    RetryingObjectStore store =
        new RetryingObjectStore(
            channel.eventLoop(),
            slow,
            new RetryingObjectStore.Policy(Duration.ofSeconds(60), Duration.ofMinutes(10), 64),
            counters,
            new SplittableRandom(7));
    Reader[] readers = new Reader[LONG_READS + SHORT_READS];
    for (int i = 0; i < readers.length; i++) {
      readers[i] = new Reader(store, i < LONG_READS ? LONG_BYTES : SHORT_BYTES);
      readers[i].ask();
    }
    for (long millis = 0; millis < RUN_SECONDS * 1000L; millis += STEP_MILLIS) {
      ticker.advance(STEP_MILLIS, TimeUnit.MILLISECONDS);
      slow.serve(STEP_MILLIS);
      channel.runPendingTasks();
      channel.runScheduledPendingTasks();
    }

    String figures =
        "%d KiB/s: %d of %d MiB useful, longest wait %.1f s, %d retries, %d hedges"
            .formatted(
                bytesPerSecond >> 10,
                usefulBytes >> 20,
                ((long) bytesPerSecond * RUN_SECONDS) >> 20,
                longestNanos / 1e9,
                counters.retries(),
                counters.hedges());
    long allAtOnce = (long) LONG_READS * LONG_BYTES + (long) SHORT_READS * SHORT_BYTES;
    double turnSeconds = (double) allAtOnce / bytesPerSecond;
    double goodSeconds = Math.max(60, 4 * turnSeconds);
    assertTrue(longestNanos / 1e9 <= goodSeconds, figures);
    for (Reader reader : readers) {
      assertTrue(reader.waited() <= goodSeconds, figures);
    }
    if (bytesPerSecond <= 2 << 20) {
      assertTrue(usefulBytes >= 0.7 * bytesPerSecond * RUN_SECONDS - allAtOnce, figures);
    }
    assertEquals(0, counters.throttles());
  }
}
