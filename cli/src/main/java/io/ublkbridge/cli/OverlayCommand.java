package io.ublkbridge.cli;

import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

@Command(
    name = "overlay",
    header = "Look at the local files that keep what was written to read-only disks.",
    description = {
      "attach URI --overlay FILE makes any disk writable: FILE keeps the changes, the source is",
      "only read. Attaching it again with the same FILE goes on where it was; removing FILE gives",
      "the changes up."
    },
    synopsisSubcommandLabel = "VERB",
    footer = {
      "",
      "Examples:",
      "  ublk-bridge attach nbd://db1/golden --overlay /var/tmp/golden.overlay",
      "  ublk-bridge overlay info /var/tmp/golden.overlay"
    })
final class OverlayCommand implements Verb {
  @Mixin private CommonOptions common = new CommonOptions();
  @Spec private CommandSpec spec = CommandSpec.create();

  @Override
  public CommonOptions common() {
    return common;
  }

  @Override
  public Integer call() {
    throw new ParameterException(spec.commandLine(), "say what to do: a verb is missing");
  }
}
