package io.ublkbridge.cli;

import io.ublkbridge.target.Durations;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/// The options that are the target's business; they are passed on by name.
final class TargetOptions {
  @Spec(Spec.Target.MIXEE)
  private CommandSpec spec = CommandSpec.create();

  @Option(
      names = "--connections",
      paramLabel = "N",
      description = "nbd: connections to a server that allows several. Default: 4.")
  private @Nullable Integer connections;

  @Option(
      names = "--io-timeout",
      paramLabel = "TIME",
      description = "nbd: how long a request may go unanswered. Default: 60s.")
  private @Nullable String ioTimeout;

  /// The options that were given, by long name without dashes.
  Map<String, String> byName() {
    Map<String, String> options = new LinkedHashMap<>();
    if (connections != null) {
      if (connections < 1) {
        throw new ParameterException(
            spec.commandLine(), "--connections: at least 1, not " + connections);
      }
      options.put("connections", connections.toString());
    }
    if (ioTimeout != null) {
      try {
        Durations.parse(ioTimeout);
      } catch (IllegalArgumentException e) {
        throw new ParameterException(spec.commandLine(), "--io-timeout: " + e.getMessage(), e);
      }
      options.put("io-timeout", ioTimeout);
    }
    return options;
  }
}
