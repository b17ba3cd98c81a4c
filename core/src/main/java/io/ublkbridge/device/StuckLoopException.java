package io.ublkbridge.device;

import java.time.Duration;

/// An event loop that makes no turn any more. Its stack trace is the loop's own.
public final class StuckLoopException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /// @param where the loop's thread is now
  StuckLoopException(String loop, Duration since, StackTraceElement[] where) {
    super("event loop " + loop + " has made no turn for " + since.toSeconds() + " s");
    setStackTrace(where);
  }
}
