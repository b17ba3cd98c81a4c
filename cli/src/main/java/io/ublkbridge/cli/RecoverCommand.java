package io.ublkbridge.cli;

import io.ublkbridge.cli.DeviceRegistry.Health;
import io.ublkbridge.kernel.Deadline;
import java.time.Duration;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

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
  @Mixin private ChosenDevices devices = new ChosenDevices();

  @Option(names = "--all", description = "Every device whose server is gone and whose disk is not.")
  private boolean all;

  @Option(
      names = "--timeout",
      paramLabel = "TIME",
      converter = PositiveTime.class,
      description = "How long it may take for each device. Default: 90s.")
  private Duration timeout = Duration.ofSeconds(90);

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
    DeviceRegistry registry = new DeviceRegistry(host);
    return devices.each(
        registry,
        all,
        device -> registry.health(device) == Health.LOST,
        answer,
        common.verbose(),
        this::recover);
  }

  private void recover(DeviceRecord device) throws CommandFailure {
    Deadline deadline = Deadline.after(timeout);
    answer.line(new Takeover(host, device, deadline, DaemonProcess::start, false).recover());
  }
}
