package io.ublkbridge.cli;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;

/// What `/proc` says about processes.
record ProcessTable(Path proc) {
  /// A process for ever: its id may be given to another one, but not with the same start time.
  ///
  /// @param startTicks clock ticks since boot, field 22 of `/proc/PID/stat`
  record Identity(long pid, long startTicks) {}

  /// A process that runs now.
  ///
  /// @throws IOException if there is none
  Identity identify(long pid) throws IOException {
    return new Identity(
        pid, startTicks(pid).orElseThrow(() -> new IOException("no process " + pid)));
  }

  /// Whether the process still runs; a zombie does not.
  boolean alive(Identity process) {
    OptionalLong startTicks = startTicks(process.pid());
    return startTicks.isPresent() && startTicks.getAsLong() == process.startTicks();
  }

  /// The process's short name, or `?`.
  String name(long pid) {
    try {
      return Files.readString(directory(pid).resolve("comm")).strip();
    } catch (IOException gone) {
      return "?";
    }
  }

  List<Long> pids() {
    List<Long> pids = new ArrayList<>();
    try (DirectoryStream<Path> entries = Files.newDirectoryStream(proc, "[0-9]*")) {
      entries.forEach(entry -> pids.add(Long.parseLong(entry.getFileName().toString())));
    } catch (IOException | NumberFormatException e) {
      return List.of();
    }
    return pids;
  }

  Path directory(long pid) {
    return proc.resolve(Long.toString(pid));
  }

  private OptionalLong startTicks(long pid) {
    try {
      String stat = Files.readString(directory(pid).resolve("stat"));
      // The name, in parentheses, may hold anything; the third field follows it.
      String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ", -1);
      boolean ended = fields[0].equals("Z") || fields[0].equals("X");
      return ended ? OptionalLong.empty() : OptionalLong.of(Long.parseLong(fields[19]));
    } catch (IOException | RuntimeException gone) {
      return OptionalLong.empty();
    }
  }
}
