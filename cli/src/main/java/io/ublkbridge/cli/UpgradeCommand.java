package io.ublkbridge.cli;

import io.ublkbridge.cli.DeviceRegistry.Health;
import io.ublkbridge.kernel.Deadline;
import java.time.Duration;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
    name = "upgrade",
    header = "Hand devices over to servers of the installed version, while they are in use.",
    description = {
      "A new server is started first, with the options that the device was attached with. The old",
      "one then holds new requests, ends those under way, flushes, and ends itself; the new one",
      "opens the target, makes sure that it is the same disk, and goes on. No request fails. If the",
      "old server cannot come to rest it serves on, and nothing has changed.",
      "A disk that ends with its server (memory:, --overlay, --no-recovery) cannot be handed over.",
      "Prints the path of each disk, and for how long its I/O has waited."
    },
    footer = {
      "",
      "Examples:",
      "  ublk-bridge upgrade vol",
      "  ublk-bridge upgrade --all       # after the program was updated"
    })
final class UpgradeCommand implements Verb {
  private final Answer answer;
  private final Host host;

  @Mixin private CommonOptions common = new CommonOptions();
  @Mixin private ChosenDevices devices = new ChosenDevices();

  @Option(
      names = "--all",
      description = "Every device that is served and does not end with its server.")
  private boolean all;

  @Option(
      names = "--timeout",
      paramLabel = "TIME",
      converter = PositiveTime.class,
      description = "How long it may take for each device. Default: 90s.")
  private Duration timeout = Duration.ofSeconds(90);

  UpgradeCommand(Answer answer, Host host) {
    this.answer = answer;
    this.host = host;
  }

  @Override
  public CommonOptions common() {
    return common;
  }

  @Override
  public Integer call() {
    DeviceRegistry registry = new DeviceRegistry(host);
    return devices.each(
        registry,
        all,
        device -> device.recovery() != null && registry.health(device) == Health.LIVE,
        answer,
        common.verbose(),
        this::upgrade);
  }

  private void upgrade(DeviceRecord device) throws CommandFailure {
    Upgrade upgrade = new Upgrade(host, device, Deadline.after(timeout), DaemonProcess::start);
    Duration pause = upgrade.upgrade();
    answer.line(device.device() + " I/O waited for " + pause.toMillis() + " ms");
  }
}
