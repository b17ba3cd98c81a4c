package io.ublkbridge.device;

/// A target cannot make durable what it acknowledged to a server that has died since. Nobody may
/// take the disk over from now on: another flush could succeed as if nothing had been lost.
public final class InheritedWritesException extends Exception {
  private static final long serialVersionUID = 1L;

  InheritedWritesException(String why, Throwable cause) {
    super("what was written before cannot be made durable: " + why, cause);
  }
}
