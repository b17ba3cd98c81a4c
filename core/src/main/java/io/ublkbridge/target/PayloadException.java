package io.ublkbridge.target;

/// Thrown when the bytes of a WRITE cannot be copied from the requester.
public final class PayloadException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  public PayloadException(String message) {
    super(message);
  }
}
