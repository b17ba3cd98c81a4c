package io.ublkbridge.cli;

import io.ublkbridge.target.ByteSize;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
    name = "list",
    header = "Show this machine's devices.",
    description = {
      "STATE is live, changing (being started or stopped) or dead (its server is gone).",
      "SIZE uses powers of 1024; with --json sizes are bytes."
    },
    footer = {"", "Example:", "  ublk-bridge list --json"})
final class ListCommand implements Verb {
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
      Table table = new Table("NAME", "DEVICE", ">SIZE", ">RO", "STATE", "SOURCE", ">PID");
      records.forEach(record -> table.row(cells(record)));
      table.lines().forEach(answer::line);
    }
    return ExitCode.DONE.status();
  }

  private Map<String, Object> fields(DeviceRecord record) {
    Map<String, Object> fields = record.fields();
    fields.put("state", registry.health(record).word());
    return fields;
  }

  private String[] cells(DeviceRecord record) {
    DeviceRecord.Disk disk = record.disk();
    return new String[] {
      record.name(),
      record.device(),
      disk == null ? "-" : ByteSize.format(disk.sizeBytes()),
      disk == null ? "-" : disk.readOnly() ? "1" : "0",
      registry.health(record).word(),
      record.source(),
      registry.serverAlive(record) ? Long.toString(record.server().pid()) : "-"
    };
  }
}
