package io.ublkbridge.cli;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.ParameterException;

/// Parses a command line, runs its verb, and turns every failure into a message and an exit code.
final class CommandRunner {
  static final int HELP_COLUMNS = 100;

  private final Answer answer;
  private final Map<String, Supplier<Object>> verbs = new LinkedHashMap<>();

  CommandRunner(Answer answer, Host host) {
    this.answer = answer;
    verbs.put("attach", () -> new AttachCommand(answer, host));
    verbs.put("detach", () -> new DetachCommand(answer, host));
    verbs.put("recover", () -> new RecoverCommand(answer, host));
    verbs.put("upgrade", () -> new UpgradeCommand(answer, host));
    verbs.put("resize", () -> new ResizeCommand(answer, host));
    verbs.put("list", () -> new ListCommand(answer, host));
    verbs.put("status", () -> new StatusCommand(answer, host));
    verbs.put("top", () -> new TopCommand(answer, host));
    verbs.put("exporter", () -> new ExporterCommand(answer, host));
    verbs.put("info", () -> new InfoCommand(answer));
    verbs.put(
        "overlay",
        () ->
            new CommandLine(new OverlayCommand())
                .addSubcommand("info", new OverlayInfoCommand(answer)));
    verbs.put("doctor", () -> new DoctorCommand(answer, host));
    verbs.put("demo", () -> new DemoCommand(answer, host));
  }

  int run(List<String> arguments) {
    return commandLine(arguments).execute(arguments.toArray(String[]::new));
  }

  /// The parser for these arguments. It looks at each verb's class, which takes time, so it is told
  /// only of the one that is meant, if one is.
  CommandLine commandLine(List<String> arguments) {
    CommandLine line = new CommandLine(new UblkBridgeCommand());
    String first = arguments.isEmpty() ? "" : arguments.getFirst();
    Supplier<Object> meant = verbs.get(first);
    if (meant != null) {
      line.addSubcommand(first, meant.get());
    } else {
      verbs.forEach((name, command) -> line.addSubcommand(name, command.get()));
    }
    return line.setOut(answer.out())
        .setErr(answer.err())
        .setUsageHelpWidth(HELP_COLUMNS)
        .setParameterExceptionHandler((e, _) -> misused(e))
        .setExecutionExceptionHandler((e, command, _) -> failed(e, command));
  }

  private int misused(ParameterException e) {
    String command = e.getCommandLine().getCommandSpec().qualifiedName(" ");
    answer.failure(oneLine(e.getMessage()), command + " --help");
    return ExitCode.USAGE.status();
  }

  private int failed(Exception e, CommandLine command) {
    boolean verbose = command.getCommand() instanceof Verb verb && verb.common().verbose();
    if (e instanceof CommandFailure failure) {
      answer.failure(failure, verbose);
      return failure.exitCode().status();
    }
    CommandFailure unexpected =
        new CommandFailure(
            ExitCode.FAILURE, "unexpected: " + e, "--verbose, and report what it shows", e);
    answer.failure(unexpected, verbose);
    return unexpected.exitCode().status();
  }

  private static String oneLine(@Nullable String message) {
    return String.valueOf(message).replaceAll("\\s*\\R\\s*", " ");
  }
}
