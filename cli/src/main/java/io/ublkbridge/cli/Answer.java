package io.ublkbridge.cli;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.PrintWriter;
import org.jspecify.annotations.Nullable;

/// Where the command speaks: the answer to standard output, everything else to standard error.
///
/// The only place that knows the two streams.
record Answer(PrintWriter out, PrintWriter err) {
  static final String PROGRAM = "ublk-bridge";

  static Answer ofProcess() {
    return new Answer(
        new PrintWriter(System.out, true, UTF_8), new PrintWriter(System.err, true, UTF_8));
  }

  /// A line of the answer.
  void line(String line) {
    out.println(line);
  }

  /// A line that is not the answer.
  void note(String line) {
    err.println(PROGRAM + ": " + line);
  }

  void failure(CommandFailure failure, boolean withStackTrace) {
    failure(failure.message(), failure.remedy());
    if (withStackTrace) {
      failure.printStackTrace(err);
    }
  }

  void failure(String message, @Nullable String remedy) {
    note(message);
    if (remedy != null) {
      err.println("  try: " + remedy);
    }
    err.flush();
  }
}
