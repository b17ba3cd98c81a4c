package io.ublkbridge.cli;

import java.time.Duration;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "info",
    header = "Show what a target offers, without attaching it.",
    description = {
      "Needs neither ublk nor root. For a server without an export's name, its exports are shown.",
      "",
      "The types of a map: data; hole: not allocated, reads as zeroes; zero: allocated, reads as "
          + "zeroes; undefined: not allocated, what it reads as is not defined."
    },
    footer = {
      "",
      "Examples:",
      "  ublk-bridge info nbd://db1/vol",
      "  ublk-bridge info nbd://db1/           # which exports are there?",
      "  ublk-bridge info --map nbd://db1/vol  # where does it hold data?"
    })
final class InfoCommand implements Verb {
  private final Answer answer;

  @Mixin private CommonOptions common = new CommonOptions();
  @Mixin private TargetOptions targetOptions = new TargetOptions();

  @Option(names = "--json", description = "Print JSON.")
  private boolean json;

  @Option(
      names = "--map",
      description = "Print which ranges hold data and which are holes, in bytes.")
  private boolean map;

  @Option(
      names = "--timeout",
      paramLabel = "TIME",
      converter = PositiveTime.class,
      description = "How long it may take. Default: 30s.")
  private Duration timeout = Duration.ofSeconds(30);

  @Parameters(paramLabel = "URI", description = "Such as nbd://host/export.")
  private String uri = "";

  InfoCommand(Answer answer) {
    this.answer = answer;
  }

  @Override
  public CommonOptions common() {
    return common;
  }

  @Override
  public Integer call() throws CommandFailure {
    InspectionReport report = new InspectionReport(uri, answer);
    new TargetInfo(uri, targetOptions.byName(), timeout)
        .show(inspection -> {
          if (json) {
            report.json(inspection, map);
          } else if (map) {
            report.map(inspection);
          } else {
            report.text(inspection);
          }
        });
    return ExitCode.DONE.status();
  }
}
