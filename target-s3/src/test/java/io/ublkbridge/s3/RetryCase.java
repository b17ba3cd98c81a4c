package io.ublkbridge.s3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.netty.channel.embedded.EmbeddedChannel;
import io.netty.util.concurrent.MockTicker;
import io.netty.util.concurrent.Ticker;
import io.ublkbridge.s3.StoreException.Kind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/// A store that retries, in front of one that does as it is told, on a clock that nobody waits for.
abstract class RetryCase {
  static final int LENGTH = 4096;
  static final ObjectVersion OBJECT = new ObjectVersion("k", "\"e\"", null, 1 << 20);
  static final Duration IO_TIMEOUT = Duration.ofSeconds(60);
  static final Duration LOSS_TIMEOUT = Duration.ofMinutes(10);
  static final int CONCURRENCY = 4;

  final MockTicker ticker = Ticker.newMockTicker();
  final EmbeddedChannel loop = EmbeddedChannel.builder().ticker(ticker).build();
  final ScriptedStore script = new ScriptedStore();
  final StoreCounters counters = new StoreCounters();
  final RetryingObjectStore store =
      new RetryingObjectStore(
          loop.eventLoop(),
          script,
          new RetryingObjectStore.Policy(IO_TIMEOUT, LOSS_TIMEOUT, CONCURRENCY),
          counters,
          new SplittableRandom(5));

  /// What a caller sees of its request.
  static final class Caller implements ObjectStore.End {
    final long offsetBytes;
    final MemorySegment memory = Arena.ofAuto().allocate(LENGTH);
    int ends;
    boolean background;
    @Nullable StoreException failure;

    Caller(long offsetBytes) {
      this.offsetBytes = offsetBytes;
    }

    @Override
    public void ended(@Nullable StoreException why) {
      ends++;
      failure = why;
    }

    @Override
    public boolean background() {
      return background;
    }

    void assertWaits() {
      assertEquals(0, ends);
    }

    void assertRead() {
      assertEquals(1, ends);
      assertNull(failure);
      for (int i = 0; i < LENGTH; i++) {
        assertEquals(ScriptedStore.byteAt(offsetBytes + i), memory.get(ValueLayout.JAVA_BYTE, i));
      }
    }

    void assertFailed(Kind kind) {
      assertEquals(1, ends);
      assertNotNull(failure);
      assertEquals(kind, failure.kind());
    }
  }

  Caller get(long offsetBytes) {
    Caller caller = new Caller(offsetBytes);
    store.get(OBJECT, offsetBytes, Destination.of(caller.memory), caller);
    return caller;
  }

  void pass(Duration time) {
    ticker.advance(time.toNanos(), TimeUnit.NANOSECONDS);
    loop.runPendingTasks();
    loop.runScheduledPendingTasks();
  }

  /// For so long, looking each second as time goes by.
  void passSeconds(int seconds) {
    for (int i = 0; i < seconds; i++) {
      pass(Duration.ofSeconds(1));
    }
  }
}
