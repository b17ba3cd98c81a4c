package io.ublkbridge.cli;

import io.ublkbridge.cli.DeviceRegistry.Health;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "status",
    header = "Show one device in full: source, shape, I/O, what its target says.",
    footer = {
      "",
      "Examples:",
      "  ublk-bridge status vol",
      "  ublk-bridge status /dev/ublkb0 --json"
    })
final class StatusCommand implements Verb {
  private final Answer answer;
  private final DeviceRegistry registry;

  @Mixin private CommonOptions common = new CommonOptions();

  @Option(names = "--json", description = "Print JSON.")
  private boolean json;

  @Parameters(paramLabel = "DEVICE", description = "Its name, /dev/ublkbN, ublkbN or N.")
  private String device = "";

  StatusCommand(Answer answer, Host host) {
    this.answer = answer;
    this.registry = new DeviceRegistry(host);
  }

  @Override
  public CommonOptions common() {
    return common;
  }

  @Override
  public Integer call() throws CommandFailure {
    DeviceRecord record = registry.require(device);
    Health health = registry.health(record);
    Map<String, Object> document = new LinkedHashMap<>();
    document.put("version", DeviceRecord.VERSION);
    document.putAll(record.fields());
    document.put("state", health.word());
    DeviceRecord.Recovery recovery = record.recovery();
    if (health == Health.LOST && recovery != null) {
      document.put(
          "waitsFor",
          recovery.barred() == null
              ? "a server: ublk-bridge recover " + record.name()
              : "detach --force, since it cannot be recovered: " + recovery.barred());
    }
    if (health == Health.LIVE) {
      document.putAll(fromServer(record));
    }
    if (json) {
      answer.line(Json.write(document));
    } else {
      document.remove("version");
      document.remove("pidStartTicks");
      FieldText.lines(document).forEach(answer::line);
    }
    return ExitCode.DONE.status();
  }

  private Map<String, Object> fromServer(DeviceRecord record) throws CommandFailure {
    try {
      return new ServerConnection(registry.socket(record.id())).status().fields();
    } catch (IOException e) {
      throw new CommandFailure(
          ExitCode.FAILURE,
          "cannot show " + record.name() + ": " + e.getMessage(),
          "run it as root; the server's messages are in " + record.log(),
          e);
    }
  }
}
