package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// What attaching leaves on a host: device nodes, server processes, state and log files.
///
/// @param traces one line each
record HostState(Set<String> traces) {
  private static final Duration PATIENCE = Duration.ofMinutes(2);

  static HostState now() {
    Set<String> traces = new TreeSet<>();
    traces.addAll(names(Path.of("/dev"), "ublk[bc]"));
    traces.addAll(names(Path.of("/sys/class/ublk-char"), "."));
    traces.addAll(names(Path.of("/run/ublk-bridge"), "."));
    traces.addAll(names(Path.of("/var/log/ublk-bridge"), "."));
    traces.addAll(servers());
    return new HostState(traces);
  }

  /// Whether there is any disk, or the record of one.
  boolean hasDisks() {
    return traces.stream().anyMatch(trace -> trace.contains("/ublkb") || trace.endsWith(".json"));
  }

  /// Waits until the host is as it was: the watcher of a server that was killed may just have begun
  /// to look for what it was to recover.
  void awaitAgain() {
    Instant deadline = Instant.now().plus(PATIENCE);
    while (!now().equals(this) && Instant.now().isBefore(deadline)) {
      LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(100));
    }
    assertUnchanged();
  }

  void assertUnchanged() {
    assertEquals(traces, now().traces(), "something was left behind");
  }

  /// The processes of our command, without the logs of servers that ended well.
  private static Set<String> servers() {
    return ProcessHandle.allProcesses()
        .filter(process -> process.pid() != ProcessHandle.current().pid())
        .flatMap(process -> process.info().commandLine().stream())
        .filter(line -> line.contains("ublkbridge.cli"))
        .collect(Collectors.toSet());
  }

  private static Set<String> names(Path directory, String pattern) {
    if (!Files.isDirectory(directory)) {
      return Set.of();
    }
    try (Stream<Path> entries = Files.list(directory)) {
      return entries
          .filter(entry -> entry.getFileName().toString().matches(pattern + ".*"))
          .map(Path::toString)
          .collect(Collectors.toSet());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
