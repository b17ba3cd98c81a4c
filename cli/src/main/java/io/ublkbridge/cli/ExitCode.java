package io.ublkbridge.cli;

/// What the command's exit status says; scripts rely on the numbers.
enum ExitCode {
  DONE(0),
  FAILURE(1),
  USAGE(2),
  NO_SUCH_DEVICE(3),
  BUSY(4),
  /// The name or id belongs to another source.
  TAKEN(5),
  /// This host cannot: no ublk, no permission, io_uring forbidden.
  HOST_CANNOT(6),
  UNREACHABLE(7),
  /// TLS or authentication refused.
  REFUSED(8),
  TIMED_OUT(9),
  /// The image is unsupported or corrupt.
  UNSUPPORTED(10);

  private final int status;

  ExitCode(int status) {
    this.status = status;
  }

  int status() {
    return status;
  }
}
