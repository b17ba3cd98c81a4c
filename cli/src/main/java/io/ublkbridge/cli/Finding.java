package io.ublkbridge.cli;

import org.jspecify.annotations.Nullable;

/// One thing that was looked at on this host.
///
/// @param remedy what to do about it, or null where there is nothing to do
record Finding(Level level, String subject, String message, @Nullable String remedy) {
  enum Level {
    OK("ok"),
    WARN("warn"),
    FAIL("FAIL");

    private final String word;

    Level(String word) {
      this.word = word;
    }

    String word() {
      return word;
    }
  }

  static Finding ok(String subject, String message) {
    return new Finding(Level.OK, subject, message, null);
  }

  static Finding warn(String subject, String message, String remedy) {
    return new Finding(Level.WARN, subject, message, remedy);
  }

  static Finding fail(String subject, String message, String remedy) {
    return new Finding(Level.FAIL, subject, message, remedy);
  }
}
