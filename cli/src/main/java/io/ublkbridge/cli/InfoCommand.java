package io.ublkbridge.cli;

import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "info",
    header = "Show what a target offers, without attaching it.",
    description = "Needs neither ublk nor root.",
    footer = {"", "Example:", "  ublk-bridge info nbd://db1/vol"})
final class InfoCommand implements Verb {
  private static final Duration TIMEOUT = Duration.ofSeconds(30);

  private final Answer answer;

  @Mixin private CommonOptions common = new CommonOptions();
  @Mixin private TargetOptions targetOptions = new TargetOptions();

  @Option(names = "--json", description = "Print JSON.")
  private boolean json;

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
    Map<String, Object> info = new TargetInfo(uri, targetOptions.byName(), TIMEOUT).read();
    if (json) {
      Map<String, Object> document = new LinkedHashMap<>();
      document.put("version", DeviceRecord.VERSION);
      document.putAll(info);
      answer.line(Json.write(document));
    } else {
      FieldText.lines(info).forEach(answer::line);
    }
    return ExitCode.DONE.status();
  }
}
