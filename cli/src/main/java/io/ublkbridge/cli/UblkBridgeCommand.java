package io.ublkbridge.cli;

import picocli.CommandLine.Command;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/// The command without a verb.
@Command(
    name = Answer.PROGRAM,
    versionProvider = UblkBridgeCommand.Version.class,
    header = "Remote storage as a local Linux disk, through ublk.",
    synopsisSubcommandLabel = "VERB",
    footer = {
      "",
      "Examples:",
      "  ublk-bridge attach nbd://db1/vol      # prints /dev/ublkb0 once it can be used",
      "  ublk-bridge list",
      "  ublk-bridge detach vol                # by name, device or number",
      "",
      "Exit status: 0 done, 1 failure, 2 usage, 3 no such device, 4 busy, 5 name or id taken,",
      "6 this host cannot, 7 unreachable, 8 refused, 9 timed out, 10 unsupported or corrupt."
    })
final class UblkBridgeCommand implements Runnable {
  @Spec private CommandSpec spec = CommandSpec.create();

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this help; each verb has one too.")
  private boolean help;

  @Option(
      names = {"-V", "--version"},
      versionHelp = true,
      description = "Show the version.")
  private boolean version;

  @Override
  public void run() {
    throw new ParameterException(
        spec.commandLine(),
        help || version ? "nothing to do" : "say what to do: a verb is missing");
  }

  /// The version that the build wrote into the jar.
  static final class Version implements IVersionProvider {
    @Override
    public String[] getVersion() {
      String version = UblkBridgeCommand.class.getPackage().getImplementationVersion();
      return new String[] {Answer.PROGRAM + " " + (version == null ? "(not packaged)" : version)};
    }
  }
}
