package io.ublkbridge.cli;

import io.ublkbridge.cli.DeviceRegistry.Health;
import io.ublkbridge.kernel.Deadline;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

@Command(
    name = "recover",
    header = "Take over devices whose server is gone, and let their I/O go on.",
    description = {
      "With the options that they were attached with. A device is taken over only if what is",
      "behind it is still the same disk, of the same size and with what it could do; if not, its",
      "I/O goes on waiting. The server's watcher does this by itself; a device that is served is",
      "left alone.",
      "Prints the path of each disk that is served."
    },
    footer = {"", "Examples:", "  ublk-bridge recover vol", "  ublk-bridge recover --all"})
final class RecoverCommand implements Verb {
  private final Answer answer;
  private final Host host;

  @Mixin private CommonOptions common = new CommonOptions();
  @Spec private CommandSpec spec = CommandSpec.create();

  @Option(names = "--all", description = "Every device whose server is gone and whose disk is not.")
  private boolean all;

  @Option(
      names = "--timeout",
      paramLabel = "TIME",
      converter = PositiveTime.class,
      description = "How long it may take for each device. Default: 90s.")
  private Duration timeout = Duration.ofSeconds(90);

  @Parameters(
      paramLabel = "DEVICE",
      arity = "0..*",
      description = "Its name, /dev/ublkbN, ublkbN or N.")
  private List<String> devices = new ArrayList<>();

  RecoverCommand(Answer answer, Host host) {
    this.answer = answer;
    this.host = host;
  }

  @Override
  public CommonOptions common() {
    return common;
  }

  @Override
  public Integer call() {
    if (all == !devices.isEmpty()) {
      throw new ParameterException(spec.commandLine(), "name devices, or say --all");
    }
    DeviceRegistry registry = new DeviceRegistry(host);
    List<String> wanted =
        all
            ? registry.all().stream()
                .filter(record -> registry.health(record) == Health.LOST)
                .map(DeviceRecord::device)
                .toList()
            : devices;
    ExitCode first = ExitCode.DONE;
    for (String device : wanted) {
      try {
        DeviceRecord record =
            registry.find(device).orElseThrow(() -> DetachCommand.noSuchDevice(device));
        Deadline deadline = Deadline.after(timeout);
        answer.line(new Takeover(host, record, deadline, DaemonProcess::start, false).recover());
      } catch (CommandFailure failure) {
        answer.failure(failure, common.verbose());
        first = first == ExitCode.DONE ? failure.exitCode() : first;
      }
    }
    return first.status();
  }
}
