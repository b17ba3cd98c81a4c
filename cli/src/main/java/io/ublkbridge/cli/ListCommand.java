package io.ublkbridge.cli;

import io.ublkbridge.cli.DeviceRegistry.Health;
import io.ublkbridge.target.ByteSize;
import java.io.IOException;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
    name = "list",
    header = "Show this machine's devices.",
    description = {
      "STATE is live, changing (being started or stopped), lost (its server is gone and its I/O",
      "waits: ublk-bridge recover), recovering, or dead (its server is gone, the disk with it).",
      "SIZE uses powers of 1024; with --json sizes are bytes.",
      "CACHE is how much of its cache a device uses, HITS which part of its reads was in it: '-' for",
      "a device without a cache, or one whose server does not answer at once, or not to you."
    },
    footer = {"", "Example:", "  ublk-bridge list --json"})
final class ListCommand implements Verb {
  private static final Duration PATIENCE = Duration.ofSeconds(2);

  private final Answer answer;
  private final DeviceRegistry registry;

  @Mixin private CommonOptions common = new CommonOptions();

  @Option(names = "--json", description = "Print JSON.")
  private boolean json;

  ListCommand(Answer answer, Host host) {
    this.answer = answer;
    this.registry = new DeviceRegistry(host);
  }

  @Override
  public CommonOptions common() {
    return common;
  }

  @Override
  public Integer call() {
    List<DeviceRecord> records = registry.all();
    if (json) {
      Map<String, Object> document = new LinkedHashMap<>();
      document.put("version", DeviceRecord.VERSION);
      document.put("devices", records.stream().map(this::fields).toList());
      answer.line(Json.write(document));
    } else {
      Table table =
          new Table("NAME", "DEVICE", ">SIZE", ">RO", "STATE", "SOURCE", ">PID", ">CACHE", ">HITS");
      records.forEach(record -> table.row(cells(record)));
      table.lines().forEach(answer::line);
    }
    return ExitCode.DONE.status();
  }

  private Map<String, Object> fields(DeviceRecord record) {
    Map<String, Object> fields = record.fields();
    Health health = registry.health(record);
    fields.put("state", health.word());
    cache(record, health).ifPresent(cache -> fields.put("cache", cache.fields()));
    return fields;
  }

  private String[] cells(DeviceRecord record) {
    DeviceRecord.Disk disk = record.disk();
    Health health = registry.health(record);
    Optional<JsonObject> cache = cache(record, health);
    return new String[] {
      record.name(),
      record.device(),
      disk == null ? "-" : ByteSize.format(disk.sizeBytes()),
      disk == null ? "-" : disk.readOnly() ? "1" : "0",
      health.word(),
      record.source(),
      registry.serverAlive(record) ? Long.toString(record.server().pid()) : "-",
      cache.map(ListCommand::used).orElse("-"),
      cache.map(ListCommand::hits).orElse("-")
    };
  }

  /// What the device's server says of its cache, if it has one and answers at once.
  private Optional<JsonObject> cache(DeviceRecord record, Health health) {
    if (health != Health.LIVE) {
      return Optional.empty();
    }
    try {
      ServerConnection server = new ServerConnection(registry.socket(record.id()));
      JsonObject target = server.status(PATIENCE).object("target");
      return target.has("cache") ? Optional.of(target.object("cache")) : Optional.empty();
    } catch (IOException notTold) {
      return Optional.empty();
    }
  }

  private static String used(JsonObject cache) {
    try {
      return ByteSize.format(cache.number("cachedBytes"))
          + "/"
          + ByteSize.format(cache.number("size"));
    } catch (IOException e) {
      return "-";
    }
  }

  private static String hits(JsonObject cache) {
    try {
      return cache.number("hitPercent") + "%";
    } catch (IOException e) {
      return "-";
    }
  }
}
