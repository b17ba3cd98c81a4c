package io.ublkbridge.cli;

import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.UblkException;
import io.ublkbridge.target.TargetOpenException;
import org.jspecify.annotations.Nullable;

/// Why a command failed, in words for the person who gave it: what failed and why in one line, what
/// to try in another.
final class CommandFailure extends Exception {
  private static final long serialVersionUID = 1L;

  private final ExitCode exitCode;
  private final @Nullable String remedy;

  CommandFailure(ExitCode exitCode, String message, @Nullable String remedy) {
    this(exitCode, message, remedy, null);
  }

  CommandFailure(
      ExitCode exitCode, String message, @Nullable String remedy, @Nullable Throwable cause) {
    super(oneLine(message), cause);
    this.exitCode = exitCode;
    this.remedy = remedy == null ? null : oneLine(remedy);
  }

  /// A target that could not be opened.
  ///
  /// @param what what was tried: `cannot attach nbd://host/`
  static CommandFailure of(String what, TargetOpenException e) {
    ExitCode exitCode =
        switch (e.reason()) {
          case INVALID -> ExitCode.USAGE;
          case UNREACHABLE -> ExitCode.UNREACHABLE;
          case REFUSED -> ExitCode.REFUSED;
          case TIMED_OUT -> ExitCode.TIMED_OUT;
          case UNSUPPORTED -> ExitCode.UNSUPPORTED;
          case BUSY -> ExitCode.BUSY;
          case FAILED -> ExitCode.FAILURE;
        };
    return new CommandFailure(exitCode, what + ": " + e.getMessage(), e.remedy(), e);
  }

  /// A step that the kernel refused.
  static CommandFailure of(String what, UblkException e) {
    String message = what + ": " + e.getMessage();
    return switch (e.errno()) {
      case Errno.EPERM, Errno.EACCES ->
          new CommandFailure(
              ExitCode.HOST_CANNOT, message, "run it as root, with CAP_SYS_ADMIN", e);
      case Errno.EEXIST ->
          new CommandFailure(
              ExitCode.TAKEN, message, "leave out --id, or choose one that is free", e);
      case Errno.ENOENT, Errno.ENODEV, Errno.ENOSYS, Errno.EOPNOTSUPP ->
          new CommandFailure(ExitCode.HOST_CANNOT, message, "ublk-bridge doctor", e);
      default -> new CommandFailure(ExitCode.FAILURE, message, "ublk-bridge doctor", e);
    };
  }

  ExitCode exitCode() {
    return exitCode;
  }

  @Nullable String remedy() {
    return remedy;
  }

  /// Always a message: [Throwable] does not know that there is one.
  String message() {
    return String.valueOf(getMessage());
  }

  private static String oneLine(String text) {
    return text.strip().replaceAll("\\s*\\R\\s*", " ");
  }
}
