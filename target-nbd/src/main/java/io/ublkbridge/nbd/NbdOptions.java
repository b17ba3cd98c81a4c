package io.ublkbridge.nbd;

import io.ublkbridge.target.ByteSize;
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
/// @param lossTimeout how long requests wait while the server is gone; zero for ever
/// @param writeJournalBytes how much of acknowledged, unflushed writes is kept; 0 for nothing
/// @param readOnly whether nothing will be written
record NbdOptions(
    Optional<Integer> connections,
    Duration ioTimeout,
    Duration lossTimeout,
    long writeJournalBytes,
    boolean readOnly) {
  static final int CONNECTIONS_MAX = 64;
  private static final Duration IO_TIMEOUT_DEFAULT = Duration.ofSeconds(60);
  private static final Duration LOSS_TIMEOUT_DEFAULT = Duration.ofMinutes(10);
  private static final long WRITE_JOURNAL_DEFAULT = 64L << 20;

  /// Less could not hold a few of the longest writes.
  static final long WRITE_JOURNAL_MIN = 16L << 20;

  static NbdOptions of(OpenContext context) throws TargetOpenException {
    Optional<Integer> connections = Optional.empty();
    String count = context.option("connections").orElse("");
    if (!count.isEmpty()) {
      connections = Optional.of(connections(count));
    }
    Duration ioTimeout = duration(context, "io-timeout", IO_TIMEOUT_DEFAULT);
    if (!ioTimeout.isPositive()) {
      throw new TargetOpenException(
          Reason.INVALID, "--io-timeout cannot be zero", "write 60s, for example");
    }
    return new NbdOptions(
        connections,
        ioTimeout,
        duration(context, "loss-timeout", LOSS_TIMEOUT_DEFAULT),
        writeJournal(context.option("write-journal").orElse("")),
        context.readOnly());
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

  private static Duration duration(OpenContext context, String option, Duration unset)
      throws TargetOpenException {
    String text = context.option(option).orElse("");
    try {
      return text.isEmpty() ? unset : text.equals("0") ? Duration.ZERO : Durations.parse(text);
    } catch (IllegalArgumentException e) {
      throw new TargetOpenException(
          Reason.INVALID, "--" + option + ": " + e.getMessage(), "write 60s, for example", e);
    }
  }

  private static long writeJournal(String text) throws TargetOpenException {
    if (text.isEmpty()) {
      return WRITE_JOURNAL_DEFAULT;
    }
    if (text.equals("off")) {
      return 0;
    }
    String remedy = "write 64M, for example, or off";
    try {
      long bytes = ByteSize.parse(text);
      if (bytes >= WRITE_JOURNAL_MIN) {
        return bytes;
      }
    } catch (IllegalArgumentException e) {
      throw new TargetOpenException(
          Reason.INVALID, "--write-journal: " + e.getMessage(), remedy, e);
    }
    throw new TargetOpenException(
        Reason.INVALID,
        "--write-journal: at least " + ByteSize.format(WRITE_JOURNAL_MIN) + ", not " + text,
        remedy);
  }
}
