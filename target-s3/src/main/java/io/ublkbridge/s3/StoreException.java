package io.ublkbridge.s3;

import io.ublkbridge.target.IoError;
import io.ublkbridge.target.TargetOpenException.Reason;
import org.jspecify.annotations.Nullable;

/// Why a request to the store failed. Without a stack trace: these come in storms.
final class StoreException extends Exception {
  private static final long serialVersionUID = 1L;

  /// What kind of failure it is, by what can be done about it.
  enum Kind {
    /// The key holds another object by now.
    REPLACED(false, IoError.IO, Reason.FAILED),
    /// There is no such object, version or bucket.
    GONE(false, IoError.IO, Reason.FAILED),
    /// The object has no such range.
    OUTSIDE(false, IoError.IO, Reason.FAILED),
    /// Whoever asks may not read this.
    DENIED(false, IoError.IO, Reason.REFUSED),
    /// The store does not want such a request.
    REJECTED(false, IoError.IO, Reason.FAILED),
    /// What is there cannot be read by us: archived, encrypted with a customer's key.
    UNREADABLE(false, IoError.IO, Reason.UNSUPPORTED),
    /// The store gave what it has, and that is damaged.
    CORRUPT(false, IoError.CORRUPT, Reason.UNSUPPORTED),
    /// There are no credentials, or they have expired: new ones may come.
    CREDENTIALS(true, IoError.IO, Reason.REFUSED),
    /// The store asks to slow down.
    THROTTLED(true, IoError.IO, Reason.UNREACHABLE),
    /// The store failed inside.
    SERVER(true, IoError.IO, Reason.UNREACHABLE),
    /// The answer is not whole, or not what was asked for.
    BROKEN(true, IoError.IO, Reason.UNREACHABLE),
    /// This process has no room for the answer.
    NO_MEMORY(false, IoError.IO, Reason.FAILED),
    /// No answer in time.
    TIMED_OUT(true, IoError.TIMED_OUT, Reason.TIMED_OUT),
    /// Nobody there.
    UNREACHABLE(true, IoError.UNREACHABLE, Reason.UNREACHABLE),
    /// The server is not who it should be, or speaks no TLS.
    TLS(true, IoError.IO, Reason.REFUSED);

    private final boolean passing;
    private final IoError ioError;
    private final Reason reason;

    Kind(boolean passing, IoError ioError, Reason reason) {
      this.passing = passing;
      this.ioError = ioError;
      this.reason = reason;
    }

    /// Whether the same request may succeed later.
    boolean passing() {
      return passing;
    }

    /// What a reader is told.
    IoError ioError() {
      return ioError;
    }

    /// What whoever opens the target is told.
    Reason reason() {
      return reason;
    }
  }

  private final Kind kind;
  private final @Nullable String remedy;

  StoreException(Kind kind, String message) {
    this(kind, message, null, null);
  }

  /// @param remedy what a person could do, if it is known
  StoreException(Kind kind, String message, @Nullable String remedy, @Nullable Throwable cause) {
    super(message, cause, false, false);
    this.kind = kind;
    this.remedy = remedy;
  }

  /// There is no memory for what a GET would bring.
  static StoreException noMemory(long lengthBytes, OutOfMemoryError cause) {
    return new StoreException(
        Kind.NO_MEMORY,
        "the server has no memory for %d bytes: %s".formatted(lengthBytes, cause.getMessage()),
        null,
        cause);
  }

  Kind kind() {
    return kind;
  }

  @Nullable String remedy() {
    return remedy;
  }

  /// Always a message: [Throwable] does not know that there is one.
  String message() {
    return String.valueOf(getMessage());
  }
}
