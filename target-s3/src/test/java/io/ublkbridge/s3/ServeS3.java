package io.ublkbridge.s3;

import io.ublkbridge.target.Durations;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Objects;
import java.util.SplittableRandom;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/// An S3 server with a proxy in front that spoils answers, as a program: for device tests and
/// benchmarks. `it/s3/serve` starts it and says how.
///
/// Reads commands from its standard input, one a line, and answers each with a line: `faults
/// OPTION...` (as on the command line; none ends them all), `put BUCKET KEY FILE`, `delete BUCKET
/// KEY`, `down`, `up`, `requests` (how many there were, and the bytes of their answers' bodies),
/// `end` (without an answer).
public final class ServeS3 {
  private final ObjectServer server;
  private final FaultyProxy proxy;

  private ServeS3(ObjectServer server, FaultyProxy proxy) {
    this.server = server;
    this.proxy = proxy;
  }

  public static void main(String[] arguments) throws IOException, InterruptedException {
    int port = 0;
    Path directory = null;
    String bucket = "images";
    Path objects = null;
    Path ceph = null;
    ArrayDeque<String> rest = new ArrayDeque<>(List.of(arguments));
    ArrayDeque<String> faults = new ArrayDeque<>();
    while (!rest.isEmpty()) {
      String option = rest.remove();
      switch (option) {
        case "--port" -> port = Integer.parseInt(rest.remove());
        case "--store" -> directory = Path.of(rest.remove());
        case "--bucket" -> bucket = rest.remove();
        case "--ceph" -> ceph = Path.of(rest.remove());
        case "--objects" -> objects = Path.of(rest.remove());
        default -> {
          faults.add(option);
          faults.add(rest.remove());
        }
      }
    }
    try (ObjectServer server = server(directory, ceph);
        FaultyProxy proxy = new FaultyProxy(port, server.port())) {
      server.createBucket(bucket);
      if (objects != null) {
        seed(server, bucket, objects);
      }
      ServeS3 serve = new ServeS3(server, proxy);
      serve.faults(faults);
      System.out.println("serving " + proxy.url() + " bucket " + bucket);
      serve.obey();
    }
  }

  private static ObjectServer server(@Nullable Path directory, @Nullable Path ceph)
      throws IOException {
    if (directory != null) {
      Files.createDirectories(directory);
    }
    if (ceph == null) {
      return S3Server.start(0, directory);
    }
    return CephServer.start(ceph, Objects.requireNonNull(directory, "--ceph needs a --store"));
  }

  private static void seed(ObjectServer server, String bucket, Path directory) throws IOException {
    try (Stream<Path> files = Files.walk(directory)) {
      for (Path file : files.filter(Files::isRegularFile).sorted().toList()) {
        server.put(bucket, directory.relativize(file).toString(), file);
      }
    }
  }

  private void obey() throws IOException, InterruptedException {
    try (var in =
        new java.io.BufferedReader(
            new java.io.InputStreamReader(System.in, java.nio.charset.StandardCharsets.UTF_8))) {
      for (String line = in.readLine(); line != null; line = in.readLine()) {
        ArrayDeque<String> words = new ArrayDeque<>(List.of(line.strip().split("\\s+")));
        if (words.element().equals("end")) {
          return;
        }
        System.out.println(obey(words.remove(), words));
      }
    }
    // Without an input, for as long as it is let.
    new CountDownLatch(1).await();
  }

  private String obey(String command, ArrayDeque<String> words) throws IOException {
    switch (command) {
      case "faults" -> faults(words);
      case "put" -> server.put(words.remove(), words.remove(), Path.of(words.remove()));
      case "delete" -> server.delete(words.remove(), words.remove());
      case "down" -> proxy.down(true);
      case "up" -> proxy.down(false);
      case "requests" -> {
        return "requests " + proxy.requests().size() + " bytes " + proxy.bodyBytes();
      }
      default -> {
        return "unknown " + command;
      }
    }
    return "done " + command;
  }

  private void faults(ArrayDeque<String> options) {
    Duration latency = Duration.ZERO;
    double slowDown = 0;
    double reset = 0;
    double truncate = 0;
    double spike = 0;
    Duration spikeTime = Duration.ofSeconds(5);
    long seed = 1;
    while (!options.isEmpty()) {
      String option = options.remove();
      String value = options.remove();
      switch (option) {
        case "--latency" -> latency = Durations.parse(value);
        case "--slow-down" -> slowDown = percent(value);
        case "--reset" -> reset = percent(value);
        case "--truncate" -> truncate = percent(value);
        case "--spike" -> spike = percent(value);
        case "--spike-time" -> spikeTime = Durations.parse(value);
        case "--seed" -> seed = Long.parseLong(value);
        default -> throw new IllegalArgumentException("unknown option " + option);
      }
    }
    proxy.latency(latency);
    proxy.plan(new Dice(new SplittableRandom(seed), slowDown, reset, truncate, spike, spikeTime));
  }

  private static double percent(String text) {
    return Double.parseDouble(text.replace("%", "")) / 100;
  }

  /// Faults by chance, each with its own.
  private record Dice(
      SplittableRandom random,
      double slowDown,
      double reset,
      double truncate,
      double spike,
      Duration spikeTime)
      implements FaultyProxy.Plan {
    @Override
    public synchronized FaultyProxy.Fault faultFor(FaultyProxy.Request request) {
      double thrown = random.nextDouble();
      int afterBytes = random.nextInt(4096);
      if ((thrown -= slowDown) < 0) {
        return new FaultyProxy.Fault.Answer(503, "SlowDown");
      }
      if ((thrown -= reset) < 0) {
        return new FaultyProxy.Fault.Reset(afterBytes - 1);
      }
      if ((thrown -= truncate) < 0) {
        return new FaultyProxy.Fault.Truncated(afterBytes);
      }
      if ((thrown -= spike) < 0) {
        return new FaultyProxy.Fault.Late(spikeTime);
      }
      return new FaultyProxy.Fault.None();
    }
  }
}
