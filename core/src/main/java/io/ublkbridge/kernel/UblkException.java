package io.ublkbridge.kernel;

/// Says which step with the kernel failed, and with which error number.
public final class UblkException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final int errno;

  /// @param what the command or call, with the device it was for
  /// @param errno positive, or 0 where the kernel did not refuse but answered wrongly or not at all
  public UblkException(String what, int errno) {
    super(errno == 0 ? what : what + " failed: " + Errno.describe(errno));
    this.errno = errno;
  }

  public UblkException(String what) {
    this(what, 0);
  }

  public int errno() {
    return errno;
  }
}
