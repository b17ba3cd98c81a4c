package io.ublkbridge.cli;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// Other programs, run to their end.
final class Tool {
  /// Where programs for root are, which not every PATH has.
  private static final List<String> EXTRA_PATH = List.of("/usr/local/sbin", "/usr/sbin", "/sbin");

  private Tool() {}

  /// Runs a program in a directory.
  ///
  /// @return what it printed
  /// @throws CommandFailure if it cannot be run or fails, with the last line that it said
  static String run(Path directory, String... command) throws CommandFailure {
    Process process = start(directory, command);
    try {
      String output = new String(process.getInputStream().readAllBytes(), UTF_8).strip();
      if (process.waitFor() != 0) {
        String last = output.substring(output.lastIndexOf('\n') + 1);
        throw new CommandFailure(
            ExitCode.FAILURE,
            command[0] + " failed" + (last.isEmpty() ? "" : ": " + last),
            "run it yourself: " + String.join(" ", command));
      }
      return output;
    } catch (IOException e) {
      throw new CommandFailure(
          ExitCode.FAILURE, "cannot run " + command[0] + ": " + e.getMessage(), null, e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new CommandFailure(ExitCode.FAILURE, "interrupted", null, e);
    }
  }

  /// Starts a program whose two outputs are one.
  static Process start(Path directory, String... command) throws CommandFailure {
    ProcessBuilder builder = new ProcessBuilder(command).directory(directory.toFile());
    builder.redirectErrorStream(true);
    builder.redirectInput(Path.of("/dev/null").toFile());
    List<String> path = new ArrayList<>();
    path.add(builder.environment().getOrDefault("PATH", "/usr/bin:/bin"));
    path.addAll(EXTRA_PATH);
    builder.environment().put("PATH", String.join(":", path));
    try {
      return builder.start();
    } catch (IOException e) {
      throw new CommandFailure(
          ExitCode.FAILURE,
          "cannot run " + command[0] + ": " + e.getMessage(),
          "apt install nbdkit e2fsprogs",
          e);
    }
  }
}
