package io.ublkbridge.cli;

import picocli.CommandLine.Option;

/// The options of every verb.
final class CommonOptions {
  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this help.")
  private boolean help;

  @Option(names = "--verbose", description = "Show stack traces of failures.")
  private boolean verbose;

  boolean verbose() {
    return verbose;
  }

  boolean help() {
    return help;
  }
}
