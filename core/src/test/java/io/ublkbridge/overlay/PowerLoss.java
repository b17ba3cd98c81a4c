package io.ublkbridge.overlay;

/// The power fails.
final class PowerLoss extends RuntimeException {
  private static final long serialVersionUID = 1L;

  PowerLoss() {
    super("the power failed");
  }
}
