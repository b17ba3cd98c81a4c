package io.ublkbridge.cli;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.List;

/// A command line that was run, and what came of it.
record CommandLineRun(int status, String out, String err) {
  static CommandLineRun of(Host host, String... arguments) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    Answer answer = new Answer(new PrintWriter(out, true), new PrintWriter(err, true));
    int status = new CommandRunner(answer, host).run(List.of(arguments));
    return new CommandLineRun(status, out.toString(), err.toString());
  }

  List<String> errLines() {
    return err.lines().toList();
  }
}
