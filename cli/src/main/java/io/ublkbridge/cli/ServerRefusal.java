package io.ublkbridge.cli;

import java.io.IOException;

/// What a server answers if it does not do what it was asked for, and says why.
final class ServerRefusal extends IOException {
  private static final long serialVersionUID = 1L;

  private final CommandFailure failure;

  ServerRefusal(CommandFailure failure) {
    super(failure.message(), failure);
    this.failure = failure;
  }

  CommandFailure failure() {
    return failure;
  }
}
