package io.ublkbridge.cli;

import io.ublkbridge.kernel.Deadline;
import io.ublkbridge.target.Operation;
import java.io.Console;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "top",
    header = "Show what the devices do, again and again.",
    description = {
      "Each line tells of one interval: requests and bytes per second, requests that the target has at",
      "the moment, and how long requests took: half of them at most P50, all but one in a hundred at",
      "most P99. STATE is that of list, or degraded while a remote cannot be reached.",
      "Redraws on a terminal; prints below what was there elsewhere."
    },
    footer = {
      "",
      "Examples:",
      "  ublk-bridge top",
      "  ublk-bridge top vol --interval 10s --count 6 >load.txt",
      "  ublk-bridge top --json --count 1"
    })
final class TopCommand implements Verb {
  private static final String CLEAR_SCREEN = "\033[H\033[2J";

  private final Answer answer;
  private final DeviceRegistry registry;

  @Mixin private CommonOptions common = new CommonOptions();

  @Option(
      names = "--interval",
      paramLabel = "TIME",
      converter = PositiveTime.class,
      description = "How long each interval is (default ${DEFAULT-VALUE}).",
      defaultValue = "2s")
  private Duration interval = Duration.ofSeconds(2);

  @Option(
      names = "--count",
      paramLabel = "N",
      description = "End after so many intervals (default: go on until interrupted).")
  private int count;

  @Option(names = "--json", description = "Print JSON, an object in a line for each interval.")
  private boolean json;

  @Parameters(
      paramLabel = "DEVICE",
      arity = "0..*",
      description = "Only these: name, /dev/ublkbN, ublkbN or N (default: all).")
  private List<String> devices = new ArrayList<>();

  TopCommand(Answer answer, Host host) {
    this.answer = answer;
    this.registry = new DeviceRegistry(host);
  }

  @Override
  public CommonOptions common() {
    return common;
  }

  @Override
  public Integer call() throws CommandFailure {
    if (count < 0) {
      throw new CommandFailure(
          ExitCode.USAGE, "cannot show " + count + " intervals", "--count 1 or more", null);
    }
    Map<Integer, DeviceReading> before = read();
    for (int shown = 0; count == 0 || shown < count; shown++) {
      if (!pause()) {
        break;
      }
      Map<Integer, DeviceReading> now = read();
      if (json) {
        answer.line(Json.write(document(before, now)));
      } else {
        draw(before, now);
      }
      before = now;
    }
    return ExitCode.DONE.status();
  }

  /// @return whether it was not interrupted
  private boolean pause() {
    Deadline end = Deadline.after(interval);
    while (end.pause()) {
      // Nothing happens before the interval is over.
    }
    return !Thread.currentThread().isInterrupted();
  }

  private Map<Integer, DeviceReading> read() throws CommandFailure {
    List<DeviceRecord> records = new ArrayList<>();
    for (String device : devices) {
      records.add(registry.require(device));
    }
    Map<Integer, DeviceReading> readings = new LinkedHashMap<>();
    for (DeviceReading reading :
        DeviceReading.of(registry, devices.isEmpty() ? registry.all() : records)) {
      readings.put(reading.record().id(), reading);
    }
    return readings;
  }

  private void draw(Map<Integer, DeviceReading> before, Map<Integer, DeviceReading> now) {
    Table table =
        new Table(
            "NAME",
            "DEVICE",
            ">R/S",
            ">READ/S",
            ">R-P50",
            ">R-P99",
            ">W/S",
            ">WRITE/S",
            ">W-P50",
            ">W-P99",
            ">FLUSH/S",
            ">ERR/S",
            ">BUSY",
            "STATE");
    now.forEach((id, reading) -> table.row(cells(Interval.between(before.get(id), reading))));
    if (Optional.ofNullable(System.console()).filter(Console::isTerminal).isPresent()) {
      answer.out().print(CLEAR_SCREEN);
    }
    table.lines().forEach(answer::line);
  }

  private static String[] cells(Interval interval) {
    OperationFigures reads = interval.of(Operation.READ);
    OperationFigures writes = interval.of(Operation.WRITE);
    return new String[] {
      interval.now().record().name(),
      interval.now().record().device(),
      interval.rate(reads.count()),
      interval.byteRate(reads.bytes()),
      time(reads, 50),
      time(reads, 99),
      interval.rate(writes.count()),
      interval.byteRate(writes.bytes()),
      time(writes, 50),
      time(writes, 99),
      interval.rate(interval.of(Operation.FLUSH).count()),
      interval.rate(interval.errors()),
      Long.toString(interval.now().inFlight()),
      interval.now().state()
    };
  }

  /// `850us`, `1.2ms`, `15s`; `-` if there was no request.
  private static String time(OperationFigures figures, double percentile) {
    if (figures.count() == 0) {
      return "-";
    }
    long micros = figures.latencies().getValueAtPercentile(percentile);
    if (micros < 1000) {
      return micros + "us";
    }
    return micros < 1_000_000
        ? String.format(Locale.ROOT, "%.1fms", micros / 1e3)
        : String.format(Locale.ROOT, "%.1fs", micros / 1e6);
  }

  private static Map<String, Object> document(
      Map<Integer, DeviceReading> before, Map<Integer, DeviceReading> now) {
    List<Map<String, Object>> devices = new ArrayList<>();
    now.forEach((id, reading) -> devices.add(Interval.between(before.get(id), reading).fields()));
    Map<String, Object> document = new LinkedHashMap<>();
    document.put("version", DeviceRecord.VERSION);
    document.put("devices", devices);
    return document;
  }
}
