package io.ublkbridge.cli;

import io.ublkbridge.device.QueueLoops;
import io.ublkbridge.kernel.UblkException;
import io.ublkbridge.overlay.OverlaySummary;
import io.ublkbridge.target.TargetOpenException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "info",
    header = "Show what an overlay file holds, and which disk it belongs to.",
    description = {
      "Needs neither ublk nor root. The file is only read, also while it is attached; what was not",
      "flushed yet is not counted then. An overlay that is not clean needs nothing to be done: it",
      "is complete up to its last flush."
    },
    footer = {
      "",
      "Examples:",
      "  ublk-bridge overlay info /var/tmp/golden.overlay",
      "  ublk-bridge overlay info /var/tmp/golden.overlay --json"
    })
final class OverlayInfoCommand implements Verb {
  private static final int DEPTH = 16;

  private final Answer answer;

  @Mixin private CommonOptions common = new CommonOptions();

  @Option(names = "--json", description = "Print JSON.")
  private boolean json;

  @Parameters(paramLabel = "FILE", description = "The overlay.")
  private Path file = Path.of("");

  OverlayInfoCommand(Answer answer) {
    this.answer = answer;
  }

  @Override
  public CommonOptions common() {
    return common;
  }

  @Override
  public Integer call() throws CommandFailure {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("version", DeviceRecord.VERSION);
    fields.put("file", file.toAbsolutePath().normalize().toString());
    fields.putAll(summary().fields());
    if (json) {
      answer.line(Json.write(fields));
    } else {
      fields.remove("version");
      FieldText.lines(fields).forEach(answer::line);
    }
    return ExitCode.DONE.status();
  }

  private OverlaySummary summary() throws CommandFailure {
    String what = "cannot show " + file;
    try (QueueLoops loops = new QueueLoops(1, DEPTH)) {
      return OverlaySummary.read(file, loops.loop(0));
    } catch (TargetOpenException e) {
      throw CommandFailure.of(what, e);
    } catch (UblkException e) {
      throw new CommandFailure(
          ExitCode.HOST_CANNOT, what + ": " + e.getMessage(), "ublk-bridge doctor", e);
    }
  }
}
