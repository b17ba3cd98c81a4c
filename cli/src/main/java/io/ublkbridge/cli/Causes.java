package io.ublkbridge.cli;

import java.util.concurrent.ExecutionException;

/// What went wrong on another thread.
final class Causes {
  private Causes() {}

  static String message(ExecutionException e) {
    Throwable cause = e.getCause() == null ? e : e.getCause();
    return cause.getMessage() == null ? cause.toString() : cause.getMessage();
  }
}
