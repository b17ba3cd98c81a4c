package io.ublkbridge.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.util.Arrays;
import java.util.List;

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
    System.exit(run(Arrays.asList(arguments), Answer.ofProcess(), host));
  }

  /// Runs the command in this process, for programs that run many: it starts servers as processes
  /// of their own by the `bin/ublk-bridge` in the directory that the property `ublkbridge.home`
  /// names. `attach --foreground` is not for this: it waits and handles signals.
  ///
  /// @param arguments the command line behind `ublk-bridge`
  /// @return the exit status
  public static int run(List<String> arguments, PrintWriter out, PrintWriter err) {
    return run(arguments, new Answer(out, err), Host.real());
  }

  private static int run(List<String> arguments, Answer answer, Host host) {
    int status = new CommandRunner(answer, host).run(arguments);
    answer.out().flush();
    return status;
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
