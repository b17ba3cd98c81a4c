package io.ublkbridge.cli;

import io.ublkbridge.cli.ProcessTable.Identity;
import java.io.IOException;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// What is kept about a device while it exists: the content of `/run/ublk-bridge/N.json`. Holds no
/// secret.
///
/// @param source the target's URI
/// @param server the process that serves it
/// @param since when it was attached
/// @param log where the server's messages are, or null if they went to a terminal
/// @param options what the command was told for the target, by option name
/// @param disk the disk as the kernel has it, or null while it is being started
record DeviceRecord(
    int id,
    String name,
    String source,
    Identity server,
    Instant since,
    @Nullable String log,
    Map<String, String> options,
    @Nullable Disk disk) {
  static final int VERSION = 1;

  /// The disk's shape, sizes in bytes.
  record Disk(
      long sizeBytes, int blockBytes, int maxIoBytes, int queues, int depth, boolean readOnly) {}

  DeviceRecord with(Disk started) {
    return new DeviceRecord(id, name, source, server, since, log, options, started);
  }

  String device() {
    return "/dev/ublkb" + id;
  }

  /// The record as the fields of a JSON object.
  Map<String, Object> fields() {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("name", name);
    fields.put("device", device());
    fields.put("id", id);
    fields.put("source", source);
    fields.put("pid", server.pid());
    fields.put("pidStartTicks", server.startTicks());
    fields.put("since", since.toString());
    if (log != null) {
      fields.put("log", log);
    }
    fields.put("options", options);
    if (disk != null) {
      fields.put("size", disk.sizeBytes);
      fields.put("blockSize", disk.blockBytes);
      fields.put("maxIo", disk.maxIoBytes);
      fields.put("queues", disk.queues);
      fields.put("depth", disk.depth);
      fields.put("readOnly", disk.readOnly);
    }
    return fields;
  }

  String toJson() {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("version", VERSION);
    fields.putAll(fields());
    return Json.write(fields);
  }

  static DeviceRecord ofJson(String text) throws IOException {
    JsonObject fields = JsonObject.parse(text);
    if (fields.number("version") != VERSION) {
      throw new IOException("state of version " + fields.number("version"));
    }
    Disk disk =
        !fields.has("size")
            ? null
            : new Disk(
                fields.number("size"),
                fields.integer("blockSize"),
                fields.integer("maxIo"),
                fields.integer("queues"),
                fields.integer("depth"),
                fields.truth("readOnly"));
    return new DeviceRecord(
        fields.integer("id"),
        fields.text("name"),
        fields.text("source"),
        new Identity(fields.number("pid"), fields.number("pidStartTicks")),
        fields.time("since"),
        fields.textOrNull("log"),
        fields.texts("options"),
        disk);
  }
}
