package io.ublkbridge.cli;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// The devices that a verb is to deal with, one after the other: those that were named, or with
/// `--all` those that the verb means by it.
final class ChosenDevices {
  @Spec(Spec.Target.MIXEE)
  private CommandSpec spec = CommandSpec.create();

  @Parameters(
      paramLabel = "DEVICE",
      arity = "0..*",
      description = "Its name, /dev/ublkbN, ublkbN or N.")
  private List<String> names = new ArrayList<>();

  /// What is done to each.
  @FunctionalInterface
  interface Deed {
    void to(DeviceRecord device) throws CommandFailure;
  }

  /// Does it to each of them; one that fails is told of and does not keep the others from it.
  ///
  /// @param all whether `--all` was said
  /// @param meant which devices that means
  /// @param verbose whether failures are told with their stack traces
  /// @return the exit status: that of the first failure
  int each(
      DeviceRegistry registry,
      boolean all,
      Predicate<DeviceRecord> meant,
      Answer answer,
      boolean verbose,
      Deed deed) {
    if (all == !names.isEmpty()) {
      throw new ParameterException(spec.commandLine(), "name devices, or say --all");
    }
    List<String> wanted =
        all ? registry.all().stream().filter(meant).map(DeviceRecord::device).toList() : names;
    ExitCode first = ExitCode.DONE;
    for (String device : wanted) {
      try {
        deed.to(registry.require(device));
      } catch (CommandFailure failure) {
        answer.failure(failure, verbose);
        first = first == ExitCode.DONE ? failure.exitCode() : first;
      }
    }
    return first.status();
  }
}
