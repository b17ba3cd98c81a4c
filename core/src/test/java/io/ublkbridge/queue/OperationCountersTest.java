package io.ublkbridge.queue;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.ublkbridge.target.IoError;
import org.HdrHistogram.Histogram;
import org.junit.jupiter.api.Test;

final class OperationCountersTest {
  private static final long MILLISECOND = 1_000_000;

  private final OperationCounters counters = new OperationCounters();

  private Histogram latencies() {
    Histogram sum = new Histogram(2);
    counters.addLatenciesTo(sum);
    return sum;
  }

  @Test
  void errorsAreCountedAndTheirBytesAreNot() {
    counters.ended(4096, null, 0);
    counters.ended(512, IoError.NO_SPACE, 0);
    assertEquals(2, counters.ended());
    assertEquals(1, counters.errors());
    assertEquals(1, counters.errors(IoError.NO_SPACE));
    assertEquals(0, counters.errors(IoError.IO));
    assertEquals(4096, counters.bytes());
    assertEquals(2, latencies().getTotalCount());
  }

  @Test
  void timesAreKeptInMicroseconds() {
    for (int request = 1; request <= 100; request++) {
      counters.ended(1, null, request * MILLISECOND);
    }
    assertEquals(50_000, (double) latencies().getValueAtPercentile(50), 500);
    assertEquals(99_000, (double) latencies().getValueAtPercentile(99), 990);
    assertEquals(100_000, (double) latencies().getMaxValue(), 1000);
  }

  @Test
  void askingTwiceCountsOnce() {
    counters.ended(1, null, MILLISECOND);
    assertEquals(1, latencies().getTotalCount());
    assertEquals(1, latencies().getTotalCount());
    counters.ended(1, null, MILLISECOND);
    assertEquals(2, latencies().getTotalCount());
  }

  @Test
  void anHourAndAClockThatGoesBackAreTaken() {
    counters.ended(1, null, 3600L * 1000 * MILLISECOND);
    counters.ended(1, null, -5);
    assertEquals(2, latencies().getTotalCount());
    assertEquals(0, latencies().getMinValue());
  }
}
