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
  private final Console console;
  private final DeviceRegistry registry;

  @Mixin private CommonOptions common = new CommonOptions();

  @Option(names = "--json", description = "Print JSON.")
  private boolean json;

  @Parameters(paramLabel = "DEVICE", description = "Its name, /dev/ublkbN, ublkbN or N.")
  private String device = "";

  StatusCommand(Console console, Host host) {
    this.console = console;
    this.registry = new DeviceRegistry(host);
  }

  @Override
  public CommonOptions common() {
    return common;
  }

  @Override
  public Integer call() throws CommandFailure {
    DeviceRecord record =
        registry.find(device).orElseThrow(() -> DetachCommand.noSuchDevice(device));
    Health health = registry.health(record);
    Map<String, Object> answer = new LinkedHashMap<>();
    answer.put("version", DeviceRecord.VERSION);
    answer.putAll(record.fields());
    answer.put("state", health.word());
    if (health == Health.LIVE) {
      answer.putAll(fromServer(record));
    }
    if (json) {
      console.answer(Json.write(answer));
    } else {
      answer.remove("version");
      answer.remove("pidStartTicks");
      FieldText.lines(answer).forEach(console::answer);
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
