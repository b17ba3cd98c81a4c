package io.ublkbridge.nbd;

import io.ublkbridge.target.Durations;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.time.Duration;
import java.util.Optional;

/// The command's options that this target understands.
///
/// @param connections how many connections to use, 1 to 64, if the server allows; empty to use one
///   for each queue
/// @param ioTimeout how long a request may stay unanswered before its connection is given up
record NbdOptions(Optional<Integer> connections, Duration ioTimeout) {
  static final int CONNECTIONS_MAX = 64;
  private static final Duration IO_TIMEOUT_DEFAULT = Duration.ofSeconds(60);

  static NbdOptions of(OpenContext context) throws TargetOpenException {
    Optional<Integer> connections = Optional.empty();
    String count = context.option("connections").orElse("");
    if (!count.isEmpty()) {
      connections = Optional.of(connections(count));
    }
    String timeout = context.option("io-timeout").orElse("");
    return new NbdOptions(connections, timeout.isEmpty() ? IO_TIMEOUT_DEFAULT : ioTimeout(timeout));
  }

  private static int connections(String text) throws TargetOpenException {
    int count = text.matches("\\d{1,3}") ? Integer.parseInt(text) : 0;
    if (count < 1 || count > CONNECTIONS_MAX) {
      throw new TargetOpenException(
          Reason.INVALID,
          "--connections cannot be '" + text + "'",
          "write a number from 1 to " + CONNECTIONS_MAX);
    }
    return count;
  }

  private static Duration ioTimeout(String text) throws TargetOpenException {
    try {
      Duration timeout = Durations.parse(text);
      if (timeout.isPositive()) {
        return timeout;
      }
    } catch (IllegalArgumentException e) {
      throw new TargetOpenException(
          Reason.INVALID, "--io-timeout: " + e.getMessage(), "write 60s, for example", e);
    }
    throw new TargetOpenException(
        Reason.INVALID, "--io-timeout cannot be '" + text + "'", "write 60s, for example");
  }
}
