package io.ublkbridge.cli;

import java.io.IOException;
import java.util.Arrays;

/// Where the program begins: the command, or the process that serves a device.
public final class Main {
  /// The verb of a server process; internal, so in no help.
  static final String SERVE = "serve";

  private Main() {}

  public static void main(String[] arguments) {
    Host host = Host.real();
    if (arguments.length == 2 && arguments[0].equals(SERVE)) {
      serve(arguments[1], host);
      return;
    }
    Answer answer = Answer.ofProcess();
    int status = new CommandRunner(answer, host).run(Arrays.asList(arguments));
    answer.out().flush();
    System.exit(status);
  }

  /// Without a command line parser: a server's start-up is what everybody waits for.
  private static void serve(String request, Host host) {
    try {
      Daemon.run(request, host);
    } catch (IOException | RuntimeException e) {
      Answer.ofProcess().note("the server cannot start: " + e);
      Runtime.getRuntime().halt(ExitCode.FAILURE.status());
    }
  }
}
