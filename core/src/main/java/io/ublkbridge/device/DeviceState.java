package io.ublkbridge.device;

import io.ublkbridge.kernel.UblkAbi;

/// What the kernel says about a device.
public enum DeviceState {
  /// It has no disk: not started yet, or its server is gone.
  DEAD,
  /// It is served.
  LIVE,
  /// Its server is gone and I/O waits for another.
  QUIESCED,
  /// Its server is gone and I/O fails.
  FAIL_IO;

  static DeviceState of(int ublkState) {
    return switch (ublkState) {
      case UblkAbi.UBLK_S_DEV_DEAD -> DEAD;
      case UblkAbi.UBLK_S_DEV_LIVE -> LIVE;
      case UblkAbi.UBLK_S_DEV_QUIESCED -> QUIESCED;
      case UblkAbi.UBLK_S_DEV_FAIL_IO -> FAIL_IO;
      default -> throw new IllegalStateException("unknown device state " + ublkState);
    };
  }
}
