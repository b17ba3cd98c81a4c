package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.cli.Main;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.PipedReader;
import java.io.PipedWriter;
import java.io.PrintWriter;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/// A disk's server counts what the kernel has asked of it, and says so to people and programs.
@Tag("linux-6.12")
final class NumbersIT {
  @Test
  void whatWasDoneIsCounted() throws Exception {
    try (Disk disk = Disk.attach("memory:16M", "--name", "counted")) {
      Command.shell(
          "dd if=%1$s of=/dev/null bs=64k count=100 iflag=direct; dd if=/dev/zero of=%1$s bs=4k count=8 oflag=direct"
              .formatted(disk.path()));

      String status = Command.ublkBridge("status", "counted").succeeded().output();
      assertTrue(
          status.matches("(?s).*\n +write\n +count +8\n +bytes +32768 \\(32K\\)\n.*"), status);
      Command top =
          Command.ublkBridge("top", "counted", "--interval", "1s", "--count", "1").succeeded();
      assertTrue(top.output().matches("(?s)NAME.*\ncounted +/dev/ublkb.* live\n"), top.output());

      String metrics = scrape();
      List<String> writes =
          List.of(
              "requests_total{op=\"write\",result=\"ok\",volume=\"counted\"} 8.0",
              "request_bytes_total{op=\"write\",volume=\"counted\"} 32768.0",
              "request_duration_seconds_count{op=\"write\",volume=\"counted\"} 8",
              "volume_state{state=\"live\",volume=\"counted\"} 1.0");
      for (String line : writes) {
        assertTrue(metrics.contains("ublkbridge_" + line + "\n"), line + " is not in " + metrics);
      }
      String reads = "ublkbridge_requests_total{op=\"read\",result=\"ok\",volume=\"counted\"} ";
      int at = metrics.indexOf(reads) + reads.length();
      double count = Double.parseDouble(metrics.substring(at, metrics.indexOf('\n', at)));
      assertTrue(count >= 100, "the kernel itself reads as well: " + count);
    }
  }

  /// Runs the exporter in this process until it has answered.
  private static String scrape() throws Exception {
    CompletableFuture<Integer> status = new CompletableFuture<>();
    PipedReader said = new PipedReader();
    try (PrintWriter out = new PrintWriter(new PipedWriter(said), true)) {
      Thread exporter =
          Thread.ofPlatform()
              .start(() ->
                  status.complete(
                      Main.run(List.of("exporter", "--listen", "127.0.0.1:0"), out, out)));
      String line = new BufferedReader(said).readLine();
      String metrics = get(URI.create(line.substring(line.indexOf("http:"))));
      exporter.interrupt();
      assertEquals(0, status.get());
      return metrics;
    }
  }

  private static String get(URI address) throws IOException {
    try (var body = address.toURL().openStream()) {
      return new String(body.readAllBytes(), StandardCharsets.UTF_8);
    }
  }
}
