package io.ublkbridge.queue;

import io.ublkbridge.target.Operation;
import java.util.EnumMap;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicLong;

/// What a queue has done since it started. Written by its event loop, read by anyone.
public final class QueueCounters {
  private final Map<Operation, OperationCounters> operations = new EnumMap<>(Operation.class);
  private final AtomicLong started = new AtomicLong();

  QueueCounters() {
    for (Operation operation : Operation.values()) {
      operations.put(operation, new OperationCounters());
    }
  }

  void started() {
    // One writer: a plain read and an ordered store are enough.
    started.lazySet(started.getPlain() + 1);
  }

  /// Of requests of this kind.
  public OperationCounters of(Operation operation) {
    return Objects.requireNonNull(operations.get(operation));
  }

  /// Requests that failed.
  public long errors() {
    return operations.values().stream().mapToLong(OperationCounters::errors).sum();
  }

  /// Requests that the target has at this moment.
  public long inFlight() {
    long done = operations.values().stream().mapToLong(OperationCounters::ended).sum();
    return Math.max(0, started.get() - done);
  }
}
