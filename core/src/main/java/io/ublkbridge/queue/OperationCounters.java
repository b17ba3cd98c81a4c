package io.ublkbridge.queue;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.HdrHistogram.Histogram;
import org.HdrHistogram.SingleWriterRecorder;
import org.jspecify.annotations.Nullable;

/// What a queue has done of one kind of request since it started. Written by its event loop, read
/// by anyone.
public final class OperationCounters {
  /// Times are right to one in a hundred.
  private static final int SIGNIFICANT_DIGITS = 2;

  private final AtomicLong ended = new AtomicLong();
  private final AtomicLong errors = new AtomicLong();
  private final AtomicLong bytes = new AtomicLong();

  /// What was not collected yet.
  private final SingleWriterRecorder latencies = new SingleWriterRecorder(SIGNIFICANT_DIGITS);

  private final Histogram collected = new Histogram(SIGNIFICANT_DIGITS);
  private @Nullable Histogram spare;

  OperationCounters() {}

  void ended(long lengthBytes, boolean failed, long nanos) {
    add(ended, 1);
    add(failed ? errors : bytes, failed ? 1 : lengthBytes);
    latencies.recordValue(TimeUnit.NANOSECONDS.toMicros(Math.max(0, nanos)));
  }

  /// Requests that have ended, well or not.
  public long ended() {
    return ended.get();
  }

  /// Of these, requests that failed.
  public long errors() {
    return errors.get();
  }

  /// The lengths of those that ended well.
  public long bytes() {
    return bytes.get();
  }

  /// Adds the times from the kernel's request to its end, in microseconds, of all that have ended,
  /// well or not.
  public synchronized void addLatenciesTo(Histogram sum) {
    spare = latencies.getIntervalHistogram(spare);
    collected.add(spare);
    sum.add(collected);
  }

  /// One writer: a plain read and an ordered store are enough.
  private static void add(AtomicLong counter, long amount) {
    counter.lazySet(counter.getPlain() + amount);
  }
}
