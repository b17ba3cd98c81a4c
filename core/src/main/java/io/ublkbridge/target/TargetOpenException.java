package io.ublkbridge.target;

import org.jspecify.annotations.Nullable;

/// Says why a target cannot be opened, in words for the person who asked for it.
///
/// The message names what failed and why, without the URI (the caller puts that in front); the
/// remedy, where there is one, is what to try next.
public final class TargetOpenException extends Exception {
  private static final long serialVersionUID = 1L;

  /// What kind of failure it is, by what the caller would do about it.
  public enum Reason {
    /// The URI or an option is wrong; nothing was tried.
    INVALID,
    /// Nobody answered at the address, or what answered does not speak the protocol.
    UNREACHABLE,
    /// TLS or authentication failed, or is demanded.
    REFUSED,
    /// It did not answer in time.
    TIMED_OUT,
    /// What is there cannot be served: unsupported or corrupt.
    UNSUPPORTED,
    /// Somebody else uses it.
    BUSY,
    /// The other side has no such disk, or a local file cannot be used.
    FAILED
  }

  private final Reason reason;
  private final @Nullable String remedy;

  public TargetOpenException(Reason reason, String message, @Nullable String remedy) {
    this(reason, message, remedy, null);
  }

  public TargetOpenException(
      Reason reason, String message, @Nullable String remedy, @Nullable Throwable cause) {
    super(message, cause);
    this.reason = reason;
    this.remedy = remedy;
  }

  public Reason reason() {
    return reason;
  }

  public @Nullable String remedy() {
    return remedy;
  }
}
