package io.ublkbridge.cli;

import io.ublkbridge.device.DeviceOptions;
import io.ublkbridge.kernel.Deadline;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// What a server process is told to do: its only argument, as JSON. Everybody sees it in process
/// lists, so it holds no secret.
///
/// @param source the target's URI
/// @param targetOptions the options that belong to the target, by long name without dashes
/// @param openUntil when the target must be open; a point in time, because the server's own start
///   takes a part of what is left
/// @param log the file that its messages go to until the id is known, or null for none
/// @param mountNamespace that of the one who asks; the server has another, if it may
/// @param takeOver whether the device is there already and waits for a server
record ServerRequest(
    String source,
    String name,
    DeviceOptions device,
    Map<String, String> targetOptions,
    Instant openUntil,
    @Nullable String log,
    String mountNamespace,
    boolean takeOver) {
  /// What is kept of the time, so that a server can say what took too long before it is killed.
  private static final Duration MARGIN_MAX = Duration.ofSeconds(10);

  /// When a server that has until `deadline` should have its target open.
  static Instant openUntil(Deadline deadline) {
    Duration left = deadline.remaining();
    Duration margin = left.dividedBy(4);
    return Instant.now().plus(left.minus(margin.compareTo(MARGIN_MAX) < 0 ? margin : MARGIN_MAX));
  }

  /// How failures begin.
  String what() {
    return takeOver ? "cannot recover " + name : "cannot attach " + source;
  }

  String toJson() {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("source", source);
    fields.put("name", name);
    fields.put("id", device.id());
    fields.put("queues", device.queues());
    fields.put("depth", device.depth());
    fields.put("maxIo", device.maxIoBytes());
    fields.put("blockSize", device.blockBytes());
    fields.put("readOnly", device.readOnly());
    fields.put("recovery", device.recovery());
    fields.put("options", targetOptions);
    fields.put("openUntil", openUntil.toString());
    if (log != null) {
      fields.put("log", log);
    }
    fields.put("mountNamespace", mountNamespace);
    fields.put("takeOver", takeOver);
    return Json.write(fields);
  }

  static ServerRequest ofJson(String text) throws IOException {
    JsonObject fields = JsonObject.parse(text);
    return new ServerRequest(
        fields.text("source"),
        fields.text("name"),
        new DeviceOptions(
            fields.integer("id"),
            fields.integer("queues"),
            fields.integer("depth"),
            fields.integer("maxIo"),
            fields.integer("blockSize"),
            fields.truth("readOnly"),
            fields.truth("recovery")),
        fields.texts("options"),
        fields.time("openUntil"),
        fields.textOrNull("log"),
        fields.text("mountNamespace"),
        fields.truth("takeOver"));
  }
}
