package io.ublkbridge.cli;

import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

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
  @Mixin private ChosenDevices devices = new ChosenDevices();

  @Option(names = "--all", description = "Every device of this machine.")
  private boolean all;

  @Option(
      names = "--force",
      description = "Even if it is in use or its server hangs; may lose data.")
  private boolean force;

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
    return devices.each(
        new DeviceRegistry(host),
        all,
        _ -> true,
        answer,
        common.verbose(),
        device -> new Detachment(host, device, force).detach());
  }
}
