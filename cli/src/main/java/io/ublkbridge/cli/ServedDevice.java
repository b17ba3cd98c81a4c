package io.ublkbridge.cli;

import io.ublkbridge.device.UblkDevice;
import io.ublkbridge.queue.QueueCounters;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Operation;
import io.ublkbridge.target.Outage;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.ToLongFunction;

/// What the server knows of its device and nobody else does. Any thread may ask.
record ServedDevice(UblkDevice device, BlockTarget target, DeviceRecord record) {
  /// What `status` shows beyond the state file: I/O counters and the target's own details.
  Map<String, Object> status() {
    List<QueueCounters> queues = device.counters();
    Map<String, Object> io = new LinkedHashMap<>();
    io.put("reads", sum(queues, queue -> queue.ended(Operation.READ)));
    io.put("writes", sum(queues, queue -> queue.ended(Operation.WRITE)));
    io.put("flushes", sum(queues, queue -> queue.ended(Operation.FLUSH)));
    io.put("discards", sum(queues, queue -> queue.ended(Operation.DISCARD)));
    io.put("writeZeroes", sum(queues, queue -> queue.ended(Operation.WRITE_ZEROES)));
    io.put("bytesRead", sum(queues, QueueCounters::bytesRead));
    io.put("bytesWritten", sum(queues, QueueCounters::bytesWritten));
    io.put("errors", sum(queues, QueueCounters::errors));
    io.put("inFlight", sum(queues, QueueCounters::inFlight));
    Map<String, Object> status = new LinkedHashMap<>(record.fields());
    status.put("features", TargetDescription.features(target.capabilities()));
    status.put("io", io);
    target.outage().ifPresent(outage -> status.put("outage", fields(outage)));
    status.put("target", target.details());
    return status;
  }

  private static Map<String, Object> fields(Outage outage) {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("why", outage.why());
    fields.put("seconds", outage.lasting().toSeconds());
    fields.put("requestsWaiting", outage.requestsWaiting());
    fields.put("unflushedWrites", outage.unflushedWrites());
    return fields;
  }

  private static long sum(List<QueueCounters> queues, ToLongFunction<QueueCounters> counter) {
    return queues.stream().mapToLong(counter).sum();
  }
}
