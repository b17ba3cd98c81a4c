package io.ublkbridge.queue;

import io.ublkbridge.target.IoError;
import java.util.EnumMap;
import java.util.Map;
import java.util.Objects;
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
  private final Map<IoError, AtomicLong> errors = new EnumMap<>(IoError.class);
  private final AtomicLong bytes = new AtomicLong();

  /// What was not collected yet.
  private final SingleWriterRecorder latencies = new SingleWriterRecorder(SIGNIFICANT_DIGITS);

  private final Histogram collected = new Histogram(SIGNIFICANT_DIGITS);
  private @Nullable Histogram spare;

  OperationCounters() {
    for (IoError error : IoError.values()) {
      errors.put(error, new AtomicLong());
    }
  }

  void ended(long lengthBytes, @Nullable IoError error, long nanos) {
    add(ended, 1);
    if (error == null) {
      add(bytes, lengthBytes);
    } else {
      add(counter(error), 1);
    }
    latencies.recordValue(TimeUnit.NANOSECONDS.toMicros(Math.max(0, nanos)));
  }

  /// Requests that have ended, well or not.
  public long ended() {
    return ended.get();
  }

  /// Of these, requests that failed.
  public long errors() {
    return errors.values().stream().mapToLong(AtomicLong::get).sum();
  }

  /// Of these, those that failed so.
  public long errors(IoError error) {
    return counter(error).get();
  }

  private AtomicLong counter(IoError error) {
    return Objects.requireNonNull(errors.get(error));
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
