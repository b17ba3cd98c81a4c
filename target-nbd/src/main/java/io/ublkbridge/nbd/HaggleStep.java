package io.ublkbridge.nbd;

import io.ublkbridge.target.TargetOpenException;
import java.nio.ByteBuffer;

/// What to do after a message of the handshake was understood.
sealed interface HaggleStep {
  /// Send an option; its replies follow.
  record Send(int option, ByteBuffer data) implements HaggleStep {}

  /// Send EXPORT_NAME, the one option whose answer has no reply header.
  record SendExportName(ByteBuffer name) implements HaggleStep {}

  /// Wait for the next reply to the same option.
  record Wait() implements HaggleStep {}

  /// The TLS handshake begins with the next byte; haggling starts anew when it has succeeded.
  record StartTls() implements HaggleStep {}

  /// The transmission phase begins with the next byte.
  record Enter(Negotiated negotiated) implements HaggleStep {}

  /// Give up: send ABORT, and report `failure` once the server is gone (a "soft disconnect").
  record Abort(TargetOpenException failure) implements HaggleStep {}
}
