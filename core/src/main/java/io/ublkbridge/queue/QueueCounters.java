package io.ublkbridge.queue;

import io.ublkbridge.target.Operation;
import java.util.EnumMap;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicLong;

/// What a queue has done since it started. Written by its event loop, read by anyone.
public final class QueueCounters {
  private final Map<Operation, AtomicLong> ended = new EnumMap<>(Operation.class);
  private final AtomicLong started = new AtomicLong();
  private final AtomicLong errors = new AtomicLong();
  private final AtomicLong bytesRead = new AtomicLong();
  private final AtomicLong bytesWritten = new AtomicLong();

  QueueCounters() {
    for (Operation operation : Operation.values()) {
      ended.put(operation, new AtomicLong());
    }
  }

  void started() {
    add(started, 1);
  }

  void ended(Operation operation, long lengthBytes, boolean failed) {
    add(of(operation), 1);
    if (failed) {
      add(errors, 1);
    } else if (operation == Operation.READ) {
      add(bytesRead, lengthBytes);
    } else if (operation == Operation.WRITE) {
      add(bytesWritten, lengthBytes);
    }
  }

  /// Requests of this kind that have ended, well or not.
  public long ended(Operation operation) {
    return of(operation).get();
  }

  public long errors() {
    return errors.get();
  }

  public long bytesRead() {
    return bytesRead.get();
  }

  public long bytesWritten() {
    return bytesWritten.get();
  }

  /// Requests that the target has at this moment.
  public long inFlight() {
    long done = ended.values().stream().mapToLong(AtomicLong::get).sum();
    return Math.max(0, started.get() - done);
  }

  private AtomicLong of(Operation operation) {
    return Objects.requireNonNull(ended.get(operation));
  }

  /// One writer: a plain read and an ordered store are enough.
  private static void add(AtomicLong counter, long amount) {
    counter.lazySet(counter.getPlain() + amount);
  }
}
