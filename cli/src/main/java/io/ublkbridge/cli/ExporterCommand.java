package io.ublkbridge.cli;

import io.prometheus.metrics.exporter.httpserver.HTTPServer;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.UnknownHostException;
import java.util.concurrent.CountDownLatch;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
    name = "exporter",
    header = "Serve the metrics of all devices to Prometheus.",
    description = {
      "Answers on http://ADDR:PORT/metrics until it is interrupted, and asks the devices' servers anew",
      "for each answer. Anyone who reaches the port may read: names and sources of the devices, no data."
    },
    footer = {
      "",
      "Examples:",
      "  ublk-bridge exporter",
      "  ublk-bridge exporter --listen [::]:9599"
    })
final class ExporterCommand implements Verb {
  private static final Pattern LISTEN =
      Pattern.compile("(\\[[0-9a-fA-F:.%]+]|[^:\\[\\]]+):(\\d{1,5})");
  private static final int PORT_MAX = 65_535;

  private final Answer answer;
  private final Host host;

  @Mixin private CommonOptions common = new CommonOptions();

  @Option(
      names = "--listen",
      paramLabel = "ADDR:PORT",
      defaultValue = "127.0.0.1:9599",
      description = "Where to listen (default ${DEFAULT-VALUE}); port 0 takes a free one.")
  private String listen = "";

  ExporterCommand(Answer answer, Host host) {
    this.answer = answer;
    this.host = host;
  }

  @Override
  public CommonOptions common() {
    return common;
  }

  @Override
  public Integer call() throws CommandFailure {
    HTTPServer server = start(address(listen), host);
    try {
      answer.line("listening on http://" + shown(server) + "/metrics");
      // Until a signal ends the process.
      new CountDownLatch(1).await();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } finally {
      server.close();
    }
    return ExitCode.DONE.status();
  }

  /// Listens until it is closed.
  static HTTPServer start(InetSocketAddress address, Host host) throws CommandFailure {
    PrometheusRegistry registry = new PrometheusRegistry();
    registry.register(new DeviceMetrics(host));
    try {
      return HTTPServer.builder()
          .inetAddress(address.getAddress())
          .port(address.getPort())
          .registry(registry)
          .buildAndStart();
    } catch (IOException e) {
      throw new CommandFailure(
          ExitCode.FAILURE,
          "cannot listen on " + address + ": " + e.getMessage(),
          "--listen with an address of this machine and a port that nobody has",
          e);
    }
  }

  static InetSocketAddress address(String text) throws CommandFailure {
    Matcher matcher = LISTEN.matcher(text);
    if (!matcher.matches() || Integer.parseInt(matcher.group(2)) > PORT_MAX) {
      throw new CommandFailure(
          ExitCode.USAGE,
          "'" + text + "' is no address and port",
          "--listen 127.0.0.1:9599 or --listen [::1]:9599",
          null);
    }
    try {
      return new InetSocketAddress(
          InetAddress.getByName(matcher.group(1)), Integer.parseInt(matcher.group(2)));
    } catch (UnknownHostException e) {
      throw new CommandFailure(
          ExitCode.FAILURE,
          "cannot listen on '" + matcher.group(1) + "': no such address",
          "--listen with an address of this machine",
          e);
    }
  }

  private String shown(HTTPServer server) {
    return listen.replaceFirst("\\d+$", Integer.toString(server.getPort()));
  }
}
