package io.ublkbridge.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// What a server left behind to read.
final class LogFile {
  private LogFile() {}

  /// The last line that says something by itself, or nothing.
  static String lastLine(@Nullable Path log) {
    if (log == null) {
      return "";
    }
    try {
      List<String> lines = Files.readAllLines(log);
      return lines.reversed().stream()
          .filter(line -> !line.isBlank() && !line.startsWith("\t"))
          .findFirst()
          .orElse("")
          .strip();
    } catch (IOException unreadable) {
      return "";
    }
  }
}
