package io.ublkbridge.cli;

import io.ublkbridge.device.UblkDevice;
import io.ublkbridge.queue.QueueCounters;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Operation;
import io.ublkbridge.target.Outage;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Function;

/// What the server knows of its device and nobody else does. Any thread may ask.
record ServedDevice(UblkDevice device, BlockTarget target, DeviceRecord record) {
  /// What `status` shows beyond the state file: I/O counters and the target's own details.
  Map<String, Object> status() {
    return status(OperationFigures::summary);
  }

  /// The same with all that is known of times, for programs that compute with them.
  Map<String, Object> metrics() {
    return status(OperationFigures::inFull);
  }

  private Map<String, Object> status(Function<OperationFigures, Map<String, Object>> form) {
    Map<String, Object> status = new LinkedHashMap<>(record.fields());
    status.put("features", TargetDescription.features(target.capabilities()));
    status.put("io", io(form));
    target.outage().ifPresent(outage -> status.put("outage", fields(outage)));
    status.put("target", target.details());
    return status;
  }

  /// Counters by name, and in full for each kind of request that there was.
  private Map<String, Object> io(Function<OperationFigures, Map<String, Object>> form) {
    List<QueueCounters> queues = device.counters();
    Map<Operation, OperationFigures> figures = OperationFigures.of(queues);
    Map<String, Object> operations = new LinkedHashMap<>();
    figures.forEach((operation, done) -> {
      if (done.count() > 0) {
        operations.put(OperationFigures.name(operation), form.apply(done));
      }
    });
    Map<String, Object> io = new LinkedHashMap<>();
    io.put("reads", of(figures, Operation.READ).count());
    io.put("writes", of(figures, Operation.WRITE).count());
    io.put("flushes", of(figures, Operation.FLUSH).count());
    io.put("discards", of(figures, Operation.DISCARD).count());
    io.put("writeZeroes", of(figures, Operation.WRITE_ZEROES).count());
    io.put("bytesRead", of(figures, Operation.READ).bytes());
    io.put("bytesWritten", of(figures, Operation.WRITE).bytes());
    io.put("errors", figures.values().stream().mapToLong(OperationFigures::errors).sum());
    io.put("inFlight", queues.stream().mapToLong(QueueCounters::inFlight).sum());
    io.put("operations", operations);
    return io;
  }

  private static OperationFigures of(
      Map<Operation, OperationFigures> figures, Operation operation) {
    return Objects.requireNonNull(figures.get(operation));
  }

  private static Map<String, Object> fields(Outage outage) {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("why", outage.why());
    fields.put("seconds", outage.lasting().toSeconds());
    fields.put("requestsWaiting", outage.requestsWaiting());
    fields.put("unflushedWrites", outage.unflushedWrites());
    return fields;
  }
}
