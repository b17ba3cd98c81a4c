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
  private final Console console;
  private final Host host;

  @Mixin private CommonOptions common = new CommonOptions();

  @Option(names = "--json", description = "Print JSON.")
  private boolean json;

  DoctorCommand(Console console, Host host) {
    this.console = console;
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
      Map<String, Object> answer = new LinkedHashMap<>();
      answer.put("version", DeviceRecord.VERSION);
      answer.put("able", able);
      answer.put("findings", findings.stream().map(DoctorCommand::fields).toList());
      console.answer(Json.write(answer));
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
    console.answer(
        "%-4s  %-9s  %s".formatted(finding.level().word(), finding.subject(), finding.message()));
    if (finding.remedy() != null) {
      console.answer("                 try: " + finding.remedy());
    }
  }
}
