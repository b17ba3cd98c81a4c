package io.ublkbridge.cli;

import io.ublkbridge.cli.Finding.Level;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
    name = "doctor",
    header = "Show what this host can and cannot do, each with the remedy.",
    description = "Exit status 6 if a device cannot be attached here.",
    footer = {"", "Example:", "  ublk-bridge doctor"})
final class DoctorCommand implements Verb {
  private final Answer answer;
  private final Host host;

  @Mixin private CommonOptions common = new CommonOptions();

  @Option(names = "--json", description = "Print JSON.")
  private boolean json;

  DoctorCommand(Answer answer, Host host) {
    this.answer = answer;
    this.host = host;
  }

  @Override
  public CommonOptions common() {
    return common;
  }

  @Override
  public Integer call() {
    List<Finding> findings = new Doctor(host).findings();
    boolean able = findings.stream().noneMatch(finding -> finding.level() == Level.FAIL);
    if (json) {
      Map<String, Object> document = new LinkedHashMap<>();
      document.put("version", DeviceRecord.VERSION);
      document.put("able", able);
      document.put("findings", findings.stream().map(DoctorCommand::fields).toList());
      answer.line(Json.write(document));
    } else {
      findings.forEach(this::print);
    }
    return (able ? ExitCode.DONE : ExitCode.HOST_CANNOT).status();
  }

  private static Map<String, Object> fields(Finding finding) {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("level", finding.level().word());
    fields.put("subject", finding.subject());
    fields.put("message", finding.message());
    String remedy = finding.remedy();
    if (remedy != null) {
      fields.put("remedy", remedy);
    }
    return fields;
  }

  private void print(Finding finding) {
    answer.line(
        "%-4s  %-9s  %s".formatted(finding.level().word(), finding.subject(), finding.message()));
    if (finding.remedy() != null) {
      answer.line("                 try: " + finding.remedy());
    }
  }
}
