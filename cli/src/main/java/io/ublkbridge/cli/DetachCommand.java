package io.ublkbridge.cli;

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
    name = "detach",
    header = "Flush and take devices away; returns when they are gone.",
    description = {
      "A device that is mounted, held or open is left alone, and its user is named. One whose",
      "server is gone cannot be flushed: if it is in use, recover it first, or give its I/O up with",
      "--force."
    },
    footer = {
      "",
      "Examples:",
      "  ublk-bridge detach vol",
      "  ublk-bridge detach /dev/ublkb0 ublkb1 2",
      "  ublk-bridge detach --all"
    })
final class DetachCommand implements Verb {
  private final Answer answer;
  private final Host host;

  @Mixin private CommonOptions common = new CommonOptions();
  @Spec private CommandSpec spec = CommandSpec.create();

  @Option(names = "--all", description = "Every device of this machine.")
  private boolean all;

  @Option(
      names = "--force",
      description = "Even if it is in use or its server hangs; may lose data.")
  private boolean force;

  @Parameters(
      paramLabel = "DEVICE",
      arity = "0..*",
      description = "Its name, /dev/ublkbN, ublkbN or N.")
  private List<String> devices = new ArrayList<>();

  DetachCommand(Answer answer, Host host) {
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
        all ? registry.all().stream().map(DeviceRecord::device).toList() : devices;
    ExitCode first = ExitCode.DONE;
    for (String device : wanted) {
      try {
        DeviceRecord record = registry.find(device).orElseThrow(() -> noSuchDevice(device));
        new Detachment(host, record, force).detach();
      } catch (CommandFailure failure) {
        answer.failure(failure, common.verbose());
        first = first == ExitCode.DONE ? failure.exitCode() : first;
      }
    }
    return first.status();
  }

  static CommandFailure noSuchDevice(String device) {
    return new CommandFailure(
        ExitCode.NO_SUCH_DEVICE,
        "no such device: '" + device + "' is not attached by ublk-bridge",
        "ublk-bridge list");
  }
}
