package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.ublkbridge.cli.Main;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/// A program that a test runs, with a deadline, and what it answered.
///
/// @param line the command as a person would type it, for messages
/// @param status its exit status
/// @param output its standard output
/// @param errors its standard error
record Command(String line, int status, String output, String errors) {
  /// Far beyond what anything takes, also in an emulator on a busy host.
  private static final Duration DEADLINE =
      Duration.ofMinutes(Integer.getInteger("command.minutes", 5));

  /// Runs a program to its end.
  static Command run(String... command) {
    return run(List.of(command));
  }

  static Command run(List<String> command) {
    String line = String.join(" ", command);
    try {
      Path output = Files.createTempFile("output", "");
      Path errors = Files.createTempFile("errors", "");
      try {
        // Files, not pipes: a daemon that inherits them must not keep us waiting.
        Process process =
            new ProcessBuilder(command)
                .redirectInput(Path.of("/dev/null").toFile())
                .redirectOutput(output.toFile())
                .redirectError(errors.toFile())
                .start();
        if (!process.waitFor(DEADLINE.toSeconds(), TimeUnit.SECONDS)) {
          process.destroyForcibly();
          throw new AssertionError("'" + line + "' still runs after " + DEADLINE);
        }
        return new Command(
            line, process.exitValue(), Files.readString(output), Files.readString(errors));
      } finally {
        Files.delete(output);
        Files.delete(errors);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("interrupted in '" + line + "'", e);
    }
  }

  /// Runs a shell script and expects it to succeed.
  static String shell(String script) {
    return shellCommand(script).succeeded().output().strip();
  }

  /// Runs a shell script that may fail.
  static Command shellCommand(String script) {
    return run("bash", "-c", "set -euo pipefail; " + script);
  }

  /// Runs the command under test in this process, where it starts many times faster than by itself
  /// in an emulator. The servers that it starts are processes.
  static Command ublkBridge(String... arguments) {
    StringWriter output = new StringWriter();
    StringWriter errors = new StringWriter();
    int status =
        Main.run(List.of(arguments), new PrintWriter(output, true), new PrintWriter(errors, true));
    String line = "ublk-bridge " + String.join(" ", arguments);
    return new Command(line, status, output.toString(), errors.toString());
  }

  /// Runs the command under test as a person would.
  static Command typed(String... arguments) {
    return run(Stream.concat(Stream.of("ublk-bridge"), Stream.of(arguments)).toList());
  }

  /// A field of the JSON object that the command answered.
  static String json(String field, String... arguments) {
    try {
      JsonNode answer = new ObjectMapper().readTree(ublkBridge(arguments).succeeded().output());
      assertTrue(answer.has(field), () -> "no '" + field + "' in " + answer);
      return answer.get(field).asText();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  Command succeeded() {
    return exited(0);
  }

  Command exited(int expected) {
    assertEquals(expected, status, () -> "status of '" + line + "':\n" + output + errors);
    return this;
  }
}
