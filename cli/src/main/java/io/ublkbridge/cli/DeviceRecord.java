package io.ublkbridge.cli;

import io.ublkbridge.cli.ProcessTable.Identity;
import java.io.IOException;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
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
/// @param recovery how another server may go on with it, or null if the disk ends with its server
record DeviceRecord(
    int id,
    String name,
    String source,
    Identity server,
    Instant since,
    @Nullable String log,
    Map<String, String> options,
    @Nullable Disk disk,
    @Nullable Recovery recovery) {
  static final int VERSION = 1;

  /// The disk's shape, sizes in bytes.
  record Disk(
      long sizeBytes, int blockBytes, int maxIoBytes, int queues, int depth, boolean readOnly) {}

  /// What it takes to go on with the device, and what has been done.
  ///
  /// @param mark what the kernel keeps of the device, so that no other is taken for it
  /// @param identity of what is behind the disk
  /// @param count how often a server has taken it over
  /// @param underWay whether the present server is still about to
  /// @param handedOver since when its I/O waits because the last server has let go of it in order,
  ///   with nothing left undone; null if that died, or if somebody serves it
  /// @param barred why nobody may any more, or null
  /// @param journal whether the last server to serve it has kept a file for the next one; a version
  ///   that keeps none leaves this out
  record Recovery(
      long mark,
      String identity,
      int count,
      boolean underWay,
      @Nullable Instant handedOver,
      @Nullable String barred,
      boolean journal) {
    /// Of a device that was just made.
    Recovery(long mark, String identity, boolean journal) {
      this(mark, identity, 0, false, null, null, journal);
    }
  }

  DeviceRecord with(Disk started, @Nullable Recovery recovers) {
    return new DeviceRecord(id, name, source, server, since, log, options, started, recovers);
  }

  /// The same with another server, which is about to take the device over.
  DeviceRecord claimedBy(Identity newServer, String newLog) {
    Recovery old = Objects.requireNonNull(recovery);
    Recovery claimed =
        new Recovery(old.mark, old.identity, old.count, true, null, null, old.journal);
    return new DeviceRecord(id, name, source, newServer, since, newLog, options, disk, claimed);
  }

  /// The same for the server that the present one hands the device to.
  ///
  /// @param waiting since when its I/O waits
  DeviceRecord handedTo(Identity successor, Instant waiting) {
    Recovery old = Objects.requireNonNull(recovery);
    Recovery handed =
        new Recovery(old.mark, old.identity, old.count, true, waiting, null, old.journal);
    return new DeviceRecord(id, name, source, successor, since, log, options, disk, handed);
  }

  /// The same once that is done.
  ///
  /// @param afterDeath whether the last server had died
  /// @param journal whether the present one keeps a file for the next
  DeviceRecord recovered(boolean afterDeath, boolean journal) {
    Recovery old = Objects.requireNonNull(recovery);
    int count = old.count + (afterDeath ? 1 : 0);
    return withRecovery(new Recovery(old.mark, old.identity, count, false, null, null, journal));
  }

  /// The same for a device that nobody may take over any more, or may again if `why` is null.
  DeviceRecord barred(@Nullable String why) {
    Recovery old = recovery;
    return old == null
        ? this
        : withRecovery(
            new Recovery(
                old.mark, old.identity, old.count, old.underWay, old.handedOver, why, old.journal));
  }

  /// The same of another size.
  DeviceRecord resized(long sizeBytes) {
    Disk old = Objects.requireNonNull(disk);
    Disk now =
        new Disk(sizeBytes, old.blockBytes, old.maxIoBytes, old.queues, old.depth, old.readOnly);
    return new DeviceRecord(id, name, source, server, since, log, options, now, recovery);
  }

  private DeviceRecord withRecovery(Recovery changed) {
    return new DeviceRecord(id, name, source, server, since, log, options, disk, changed);
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
    fields.put("recovers", recovery != null);
    if (recovery != null) {
      fields.put("recoveries", recovery.count);
    }
    return fields;
  }

  String toJson() {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("version", VERSION);
    fields.putAll(fields());
    if (recovery != null) {
      Map<String, Object> inner = new LinkedHashMap<>();
      inner.put("mark", recovery.mark);
      inner.put("identity", recovery.identity);
      inner.put("underWay", recovery.underWay);
      inner.put("journal", recovery.journal);
      if (recovery.handedOver != null) {
        inner.put("handedOver", recovery.handedOver.toString());
      }
      if (recovery.barred != null) {
        inner.put("barred", recovery.barred);
      }
      fields.put("recovery", inner);
    }
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
        disk,
        recovery(fields));
  }

  private static @Nullable Recovery recovery(JsonObject fields) throws IOException {
    if (!fields.has("recovery")) {
      return null;
    }
    JsonObject inner = fields.object("recovery");
    return new Recovery(
        inner.number("mark"),
        inner.text("identity"),
        fields.integer("recoveries"),
        inner.truth("underWay"),
        inner.has("handedOver") ? inner.time("handedOver") : null,
        inner.textOrNull("barred"),
        inner.has("journal") && inner.truth("journal"));
  }
}
