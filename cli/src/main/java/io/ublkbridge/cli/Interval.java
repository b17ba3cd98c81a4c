package io.ublkbridge.cli;

import io.ublkbridge.target.ByteSize;
import io.ublkbridge.target.Operation;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// What a device did between two readings.
///
/// @param before null if the device was not there then: nothing is said of the interval
/// @param figures the difference for each operation
record Interval(
    @Nullable DeviceReading before, DeviceReading now, Map<Operation, OperationFigures> figures) {
  private static final double NANOS_PER_SECOND = 1e9;

  static Interval between(@Nullable DeviceReading before, DeviceReading now) {
    Map<Operation, OperationFigures> figures = new EnumMap<>(Operation.class);
    if (before != null) {
      for (Operation operation : Operation.values()) {
        figures.put(operation, now.since(before, operation));
      }
    }
    return new Interval(before, now, figures);
  }

  OperationFigures of(Operation operation) {
    return figures.getOrDefault(operation, OperationFigures.none());
  }

  long errors() {
    return figures.values().stream().mapToLong(OperationFigures::errors).sum();
  }

  /// So many per second, `-` while that cannot be said.
  String rate(long count) {
    double rate = perSecond(count);
    return Double.isNaN(rate)
        ? "-"
        : String.format(Locale.ROOT, rate > 0 && rate < 10 ? "%.1f" : "%.0f", rate);
  }

  String byteRate(long bytes) {
    double rate = perSecond(bytes);
    return Double.isNaN(rate) ? "-" : ByteSize.format(Math.round(rate));
  }

  private double perSecond(long amount) {
    return before == null || now.answer() == null ? Double.NaN : amount / seconds(before);
  }

  private double seconds(DeviceReading since) {
    return Math.max(now.atNanos() - since.atNanos(), 1) / NANOS_PER_SECOND;
  }

  /// The difference as fields of a JSON object, for each kind of request that there was.
  Map<String, Object> fields() {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("name", now.record().name());
    fields.put("device", now.record().device());
    fields.put("state", now.state());
    fields.put("answers", now.answer() != null);
    if (before != null) {
      fields.put("seconds", seconds(before));
    }
    fields.put("inFlight", now.inFlight());
    Map<String, Object> operations = new LinkedHashMap<>();
    figures.forEach((operation, done) -> {
      if (done.count() > 0) {
        operations.put(OperationFigures.name(operation), done.summary());
      }
    });
    fields.put("operations", operations);
    return fields;
  }
}
