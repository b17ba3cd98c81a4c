package io.ublkbridge.cli;

import io.ublkbridge.cli.DeviceRegistry.Health;
import io.ublkbridge.target.ByteSize;
import java.io.IOException;
import java.time.Duration;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "resize",
    header = "Give a disk in use the size that its target has by now.",
    description = {
      "For file: and nbd:, without a cache or an overlay, on Linux 6.16 and newer. An NBD server",
      "that was restarted with a larger export counts as gone until then. What is on the disk is not",
      "touched: resize2fs, xfs_growfs, growpart and the like do the rest."
    },
    footer = {
      "",
      "Example:",
      "  truncate -s 20G disk.img && ublk-bridge resize disk.img && resize2fs /dev/ublkb0"
    })
final class ResizeCommand implements Verb {
  /// Longer than the server takes, which may have to flush first.
  private static final Duration PATIENCE = Duration.ofMinutes(11);

  private final Answer answer;
  private final DeviceRegistry registry;

  @Mixin private CommonOptions common = new CommonOptions();

  @Parameters(paramLabel = "DEVICE", description = "Its name, /dev/ublkbN, ublkbN or N.")
  private String device = "";

  @Option(
      names = "--force",
      description = "Even if the target has shrunk: what was behind its new end is lost.")
  private boolean force;

  ResizeCommand(Answer answer, Host host) {
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
    String what = "cannot resize " + record.name() + ": ";
    if (registry.health(record) != Health.LIVE) {
      throw new CommandFailure(
          ExitCode.BUSY, what + "no server serves it now", "ublk-bridge status " + record.name());
    }
    try {
      JsonObject resized =
          new ServerConnection(registry.socket(record.id())).resize(force, PATIENCE);
      answer.line(record.device() + said(resized.number("was"), resized.number("size")));
      return ExitCode.DONE.status();
    } catch (ServerRefusal e) {
      throw e.failure();
    } catch (IOException e) {
      throw new CommandFailure(
          ExitCode.FAILURE, what + e.getMessage(), "look into " + record.log(), e);
    }
  }

  private static String said(long was, long size) {
    if (was == size) {
      return " has " + ByteSize.format(size) + " as before";
    }
    String verb = size > was ? " grew from " : " shrank from ";
    return verb + ByteSize.format(was) + " to " + ByteSize.format(size);
  }
}
