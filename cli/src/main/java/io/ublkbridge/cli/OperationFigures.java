package io.ublkbridge.cli;

import io.ublkbridge.queue.OperationCounters;
import io.ublkbridge.queue.QueueCounters;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Base64;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.zip.DataFormatException;
import org.HdrHistogram.Histogram;

/// What a device has done of one kind of request over all of its queues: as its server counts it,
/// as the server's answer carries it, or as the difference of two answers.
///
/// @param count requests that have ended, well or not
/// @param failures of these, requests that failed, by what the kernel was told
/// @param bytes the lengths of those that ended well
/// @param latencies in microseconds, of all that have ended
record OperationFigures(long count, Map<IoError, Long> failures, long bytes, Histogram latencies) {
  private static final int SIGNIFICANT_DIGITS = 2;

  /// Nothing done yet.
  static OperationFigures none() {
    return new OperationFigures(0, Map.of(), 0, new Histogram(SIGNIFICANT_DIGITS));
  }

  /// Of every kind of request, what the queues have done.
  static Map<Operation, OperationFigures> of(List<QueueCounters> queues) {
    Map<Operation, OperationFigures> figures = new EnumMap<>(Operation.class);
    for (Operation operation : Operation.values()) {
      Histogram latencies = new Histogram(SIGNIFICANT_DIGITS);
      long count = 0;
      Map<IoError, Long> failures = new EnumMap<>(IoError.class);
      long bytes = 0;
      for (QueueCounters queue : queues) {
        OperationCounters counters = queue.of(operation);
        count += counters.ended();
        for (IoError error : IoError.values()) {
          if (counters.errors(error) > 0) {
            failures.merge(error, counters.errors(error), Long::sum);
          }
        }
        bytes += counters.bytes();
        counters.addLatenciesTo(latencies);
      }
      figures.put(operation, new OperationFigures(count, failures, bytes, latencies));
    }
    return figures;
  }

  /// The same from an answer to `metrics`.
  static Map<Operation, OperationFigures> of(JsonObject answer) throws IOException {
    JsonObject operations = answer.object("io").object("operations");
    Map<Operation, OperationFigures> figures = new EnumMap<>(Operation.class);
    for (Operation operation : Operation.values()) {
      String name = name(operation);
      figures.put(operation, operations.has(name) ? ofJson(operations.object(name)) : none());
    }
    return figures;
  }

  /// What the operation is called in answers and in metrics.
  static String name(Operation operation) {
    return operation.name().toLowerCase(Locale.ROOT);
  }

  /// Requests that failed.
  long errors() {
    return failures.values().stream().mapToLong(Long::longValue).sum();
  }

  /// For people and programs: times are microseconds.
  Map<String, Object> summary() {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("count", count);
    fields.put("bytes", bytes);
    fields.put("errors", errors());
    Map<String, Object> byErrno = new LinkedHashMap<>();
    failures.forEach((error, times) -> byErrno.put(error.errnoName(), times));
    fields.put("failures", byErrno);
    fields.put("p50Micros", latencies.getValueAtPercentile(50));
    fields.put("p99Micros", latencies.getValueAtPercentile(99));
    fields.put("p999Micros", latencies.getValueAtPercentile(99.9));
    fields.put("maxMicros", latencies.getMaxValue());
    return fields;
  }

  /// The summary and all of the times, in HdrHistogram's own compressed form.
  Map<String, Object> inFull() {
    ByteBuffer encoded = ByteBuffer.allocate(latencies.getNeededByteBufferCapacity());
    int length = latencies.encodeIntoCompressedByteBuffer(encoded);
    byte[] used = Arrays.copyOf(encoded.array(), length);
    Map<String, Object> fields = summary();
    fields.put("latencies", Base64.getEncoder().encodeToString(used));
    return fields;
  }

  private static OperationFigures ofJson(JsonObject fields) throws IOException {
    try {
      byte[] encoded = Base64.getDecoder().decode(fields.text("latencies"));
      return new OperationFigures(
          fields.number("count"),
          failures(fields),
          fields.number("bytes"),
          Histogram.decodeFromCompressedByteBuffer(ByteBuffer.wrap(encoded), 0));
    } catch (DataFormatException | RuntimeException e) {
      throw new IOException("'latencies' is no histogram: " + e.getMessage(), e);
    }
  }

  private static Map<IoError, Long> failures(JsonObject fields) throws IOException {
    Map<IoError, Long> failures = new EnumMap<>(IoError.class);
    JsonObject byErrno = fields.object("failures");
    for (IoError error : IoError.values()) {
      if (byErrno.has(error.errnoName())) {
        failures.put(error, byErrno.number(error.errnoName()));
      }
    }
    return failures;
  }

  /// What was done since then. A server that counts from the beginning again has done all of it.
  OperationFigures since(OperationFigures then) {
    if (count < then.count || latencies.getTotalCount() < then.latencies.getTotalCount()) {
      return this;
    }
    Histogram difference = latencies.copy();
    try {
      difference.subtract(then.latencies);
    } catch (IllegalArgumentException anotherServer) {
      return this;
    }
    Map<IoError, Long> failed = new EnumMap<>(IoError.class);
    failures.forEach((error, times) -> {
      long since = times - then.failures.getOrDefault(error, 0L);
      if (since > 0) {
        failed.put(error, since);
      }
    });
    return new OperationFigures(count - then.count, failed, bytes - then.bytes, difference);
  }
}
