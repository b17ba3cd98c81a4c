package io.ublkbridge.cli;

import io.ublkbridge.device.DeviceOptions;
import io.ublkbridge.kernel.Deadline;
import io.ublkbridge.target.Geometry;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
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
/// @param task whether the device is there already, and has a server
record ServerRequest(
    String source,
    String name,
    DeviceOptions device,
    Map<String, String> targetOptions,
    Instant openUntil,
    @Nullable String log,
    String mountNamespace,
    Task task) {
  /// What becomes of the device.
  enum Task {
    /// It is made.
    ATTACH,
    /// It waits for a server.
    RECOVER,
    /// It has a server, which is to hand it over.
    UPGRADE;

    /// How failures begin.
    String what(String name) {
      return "cannot " + word() + " " + name;
    }

    String word() {
      return name().toLowerCase(Locale.ROOT);
    }
  }

  /// What is kept of the time, so that a server can say what took too long before it is killed.
  private static final Duration MARGIN_MAX = Duration.ofSeconds(10);

  /// When a server that has until `deadline` should have its target open.
  static Instant openUntil(Deadline deadline) {
    Duration left = deadline.remaining();
    Duration margin = left.dividedBy(4);
    return Instant.now().plus(left.minus(margin.compareTo(MARGIN_MAX) < 0 ? margin : MARGIN_MAX));
  }

  /// A request to go on with a device, with everything as it was when it was made; what the kernel
  /// has of it cannot change.
  ///
  /// @param record of a device that had a disk
  static ServerRequest toGoOn(
      DeviceRecord record, Task task, Deadline deadline, String mountNamespace) {
    DeviceRecord.Disk disk = Objects.requireNonNull(record.disk());
    // A block between the two that can be asked for came from the target.
    int blockBytes =
        disk.blockBytes() < Geometry.MAX_BLOCK_BYTES
            ? Geometry.MIN_BLOCK_BYTES
            : Geometry.MAX_BLOCK_BYTES;
    DeviceOptions options =
        new DeviceOptions(
            record.id(),
            disk.queues(),
            disk.depth(),
            disk.maxIoBytes(),
            blockBytes,
            disk.readOnly(),
            true,
            true);
    return new ServerRequest(
        record.source(),
        record.name(),
        options,
        record.options(),
        openUntil(deadline),
        null,
        mountNamespace,
        task);
  }

  /// How failures begin.
  String what() {
    return task.what(task == Task.ATTACH ? source : name);
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
    fields.put("partitionScan", device.partitionScan());
    fields.put("options", targetOptions);
    fields.put("openUntil", openUntil.toString());
    if (log != null) {
      fields.put("log", log);
    }
    fields.put("mountNamespace", mountNamespace);
    fields.put("task", task.word());
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
            fields.truth("recovery"),
            fields.truth("partitionScan")),
        fields.texts("options"),
        fields.time("openUntil"),
        fields.textOrNull("log"),
        fields.text("mountNamespace"),
        Task.valueOf(fields.text("task").toUpperCase(Locale.ROOT)));
  }
}
