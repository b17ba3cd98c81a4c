package io.ublkbridge.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.prometheus.metrics.exporter.httpserver.HTTPServer;
import io.ublkbridge.target.IoError;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicInteger;
import org.HdrHistogram.Histogram;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// What `top` and `exporter` make of the answers of servers.
final class ServedNumbersTest {
  @TempDir Path root;
  private FakeHost host = new FakeHost(Path.of("/"));
  private @Nullable ControlSocket server;

  /// A server that ends 100 reads of 4 KiB, one of them badly, between two answers.
  private static final class BusyServer implements ControlSocket.Replies {
    private final AtomicInteger asked = new AtomicInteger();

    @Override
    public Map<String, Object> metrics() {
      long reads = 100L * asked.incrementAndGet();
      Histogram latencies = new Histogram(2);
      latencies.recordValueWithCount(20, reads * 9 / 10);
      latencies.recordValueWithCount(40_000, reads / 10);
      OperationFigures figures =
          new OperationFigures(
              reads, Map.of(IoError.UNREACHABLE, reads / 100), reads * 4096, latencies);
      return Map.of(
          "io",
          Map.of("inFlight", 7L, "operations", Map.of("read", figures.inFull())),
          "outage",
          Map.of("why", "connection refused", "seconds", 12L, "requestsWaiting", 5L),
          "target",
          Map.of("reconnects", 3L, "cache", Map.of("hits", 30L, "disk", Map.of("hits", 4L))));
    }

    @Override
    public Map<String, Object> status() {
      return Map.of();
    }

    @Override
    public void expectStop() {}

    @Override
    public boolean stopUnlessOpen() {
      return false;
    }

    @Override
    public Map<String, Object> resize(boolean force) {
      return Map.of();
    }

    @Override
    public void handOver(ProcessTable.Identity successor) {}
  }

  @BeforeEach
  void serve() throws IOException {
    host = FakeHost.able(root);
    DeviceRecord live = host.liveDevice(0, "vol", "nbd://db1/vol");
    host.device(1, "gone", "file:/gone", 4711);
    server = ControlSocket.open(host.registry().socket(live.id()), new BusyServer());
  }

  @AfterEach
  void close() {
    Objects.requireNonNull(server).close();
  }

  private CommandLineRun run(String... arguments) {
    return CommandLineRun.of(host.host(), arguments);
  }

  @Test
  void topTellsOfTheIntervalAlone() throws IOException {
    CommandLineRun run = run("top", "vol", "--json", "--interval", "1ms", "--count", "2");

    assertEquals(0, run.status(), run.err());
    assertEquals(2, run.out().lines().count(), run.out());
    for (String line : run.out().lines().toList()) {
      assertEquals(1, JsonObject.parse(line).number("version"));
      for (String part :
          List.of(
              "\"read\":{\"count\":100,\"bytes\":409600,\"errors\":1,\"failures\":{\"ENOLINK\":1},\"p50Micros\":20,",
              "\"name\":\"vol\"",
              "\"inFlight\":7",
              "\"state\":\"degraded\"")) {
        assertTrue(line.contains(part), line);
      }
    }
  }

  @Test
  void topIsATableWithALineForEachDevice() {
    CommandLineRun run = run("top", "--interval", "1ms", "--count", "1");

    assertEquals(0, run.status(), run.err());
    List<String> lines = run.out().lines().toList();
    assertEquals(3, lines.size(), run.out());
    assertTrue(lines.get(0).startsWith("NAME"), run.out());
    assertTrue(lines.get(1).contains(" 20us"), run.out());
    assertTrue(lines.get(1).contains(" 40.2ms"), run.out());
    assertTrue(lines.get(1).endsWith("degraded"), run.out());
    assertTrue(lines.get(2).matches("gone +/dev/ublkb1 +-.*dead"), run.out());
  }

  @Test
  void topOfNoSuchDevice() {
    assertEquals(3, run("top", "nosuch", "--count", "1").status());
    assertEquals(2, run("top", "--count", "-1").status());
    assertEquals(2, run("top", "--interval", "0s").status());
  }

  @Test
  void prometheusReadsIt() throws Exception {
    try (HTTPServer exporter =
        ExporterCommand.start(ExporterCommand.address("127.0.0.1:0"), host.host())) {
      List<String> lines = scrape(exporter.getPort());

      for (String line :
          List.of(
              "ublkbridge_volume_info{device=\"/dev/ublkb0\",mode=\"rw\",scheme=\"nbd\","
                  + "source=\"nbd://db1/vol\",volume=\"vol\"} 1",
              "ublkbridge_volume_state{state=\"degraded\",volume=\"vol\"} 1.0",
              "ublkbridge_volume_state{state=\"live\",volume=\"vol\"} 0.0",
              "ublkbridge_volume_state{state=\"dead\",volume=\"gone\"} 1.0",
              "ublkbridge_volume_answers{volume=\"gone\"} 0.0",
              "ublkbridge_volume_size_bytes{volume=\"vol\"} 6.7108864E7",
              "ublkbridge_requests_total{op=\"read\",result=\"ok\",volume=\"vol\"} 99.0",
              "ublkbridge_requests_total{op=\"read\",result=\"error\",volume=\"vol\"} 1.0",
              "ublkbridge_io_errors_total{errno=\"ENOLINK\",op=\"read\",volume=\"vol\"} 1.0",
              "ublkbridge_recoveries_total{volume=\"vol\"} 0.0",
              "ublkbridge_request_bytes_total{op=\"read\",volume=\"vol\"} 409600.0",
              "ublkbridge_request_duration_seconds_bucket{op=\"read\",volume=\"vol\",le=\"2.5E-5\"} 90",
              "ublkbridge_request_duration_seconds_bucket{op=\"read\",volume=\"vol\",le=\"0.0512\"} 100",
              "ublkbridge_request_duration_seconds_count{op=\"read\",volume=\"vol\"} 100",
              "ublkbridge_requests_in_flight{volume=\"vol\"} 7.0",
              "ublkbridge_requests_waiting{volume=\"vol\"} 5.0",
              "ublkbridge_outage_seconds{volume=\"vol\"} 12.0",
              "ublkbridge_remote_reconnects_total{volume=\"vol\"} 3.0",
              "ublkbridge_cache_hits_total{tier=\"memory\",volume=\"vol\"} 30.0",
              "ublkbridge_cache_hits_total{tier=\"disk\",volume=\"vol\"} 4.0")) {
        assertTrue(lines.contains(line), line + " is not in\n" + String.join("\n", lines));
      }
      assertFalse(
          lines.stream()
              .anyMatch(line -> line.startsWith("ublkbridge_requests_in_flight{volume=\"gone\"")));
      close();
      assertTrue(
          scrape(exporter.getPort()).contains("ublkbridge_volume_answers{volume=\"vol\"} 0.0"));
    }
  }

  private static List<String> scrape(int port) throws IOException, InterruptedException {
    try (HttpClient client = HttpClient.newHttpClient()) {
      HttpResponse<String> response =
          client.send(
              HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + "/metrics")).build(),
              HttpResponse.BodyHandlers.ofString());
      assertEquals(200, response.statusCode(), response.body());
      return response.body().lines().toList();
    }
  }

  @Test
  void aPlaceToListenThatIsNone() {
    assertEquals(2, run("exporter", "--listen", "9599").status());
    assertEquals(2, run("exporter", "--listen", "127.0.0.1:99999").status());
    assertEquals(1, run("exporter", "--listen", "192.0.2.1:9599").status());
    CommandLineRun taken = run("exporter", "--listen", "no.such.host.invalid:9599");
    assertEquals(1, taken.status());
    assertEquals(2, taken.errLines().size(), taken.err());
  }
}
