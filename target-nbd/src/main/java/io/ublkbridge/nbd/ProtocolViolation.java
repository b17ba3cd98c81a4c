package io.ublkbridge.nbd;

/// The server sent what the protocol forbids: nothing further from it can be trusted, and the
/// connection must end (a "hard disconnect").
///
/// The message says what was wrong, continuing the words "the server ".
final class ProtocolViolation extends Exception {
  private static final long serialVersionUID = 1L;

  ProtocolViolation(String message) {
    super(message);
  }
}
