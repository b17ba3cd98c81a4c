package io.ublkbridge.cli;

import io.netty.util.concurrent.Ticker;
import io.ublkbridge.cli.DeviceRegistry.Health;
import io.ublkbridge.target.Operation;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// What a device was at one moment, with what its server said then.
///
/// @param health as it looks from outside
/// @param atNanos when the server was asked, by the system's ticker
/// @param answer null if there is no server or it did not answer in time
/// @param figures of every operation; nothing done if there is no answer
record DeviceReading(
    DeviceRecord record,
    Health health,
    long atNanos,
    @Nullable JsonObject answer,
    Map<Operation, OperationFigures> figures) {
  private static final Duration PATIENCE = Duration.ofSeconds(2);

  /// Asks several servers at once, so that one that does not answer holds nobody up for longer than
  /// its own patience.
  static List<DeviceReading> of(DeviceRegistry registry, List<DeviceRecord> records) {
    return records.parallelStream().map(record -> of(registry, record)).toList();
  }

  private static DeviceReading of(DeviceRegistry registry, DeviceRecord record) {
    Health health = registry.health(record);
    long now = Ticker.systemTicker().nanoTime();
    if (health == Health.LIVE) {
      try {
        JsonObject answer = new ServerConnection(registry.socket(record.id())).metrics(PATIENCE);
        return new DeviceReading(record, health, now, answer, OperationFigures.of(answer));
      } catch (IOException notTold) {
        // Shown as a device without figures.
      }
    }
    return new DeviceReading(record, health, now, null, Map.of());
  }

  OperationFigures of(Operation operation) {
    return figures.getOrDefault(operation, OperationFigures.none());
  }

  /// What was done of it since an earlier reading of the same device; all of it if another server
  /// serves it now.
  OperationFigures since(DeviceReading earlier, Operation operation) {
    return earlier.record.server().equals(record.server())
        ? of(operation).since(earlier.of(operation))
        : of(operation);
  }

  /// Requests that the target has now; 0 if nobody says.
  long inFlight() {
    return Objects.requireNonNullElse(numberOrNull("io", "inFlight"), 0L);
  }

  /// Whether the server cannot reach its remote.
  boolean isWaiting() {
    return answer != null && answer.has("outage");
  }

  /// As `list` has it, or `degraded` while the remote cannot be reached.
  String state() {
    return isWaiting() ? "degraded" : health.word();
  }

  /// A number of the answer by the names of its objects and its own, or null if there is none.
  @Nullable Long numberOrNull(String... path) {
    try {
      JsonObject at = answer;
      for (int step = 0; at != null && step < path.length - 1; step++) {
        at = at.has(path[step]) ? at.object(path[step]) : null;
      }
      String name = path[path.length - 1];
      return at != null && at.has(name) ? Long.valueOf(at.number(name)) : null;
    } catch (IOException anotherKind) {
      return null;
    }
  }
}
