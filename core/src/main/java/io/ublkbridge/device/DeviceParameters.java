package io.ublkbridge.device;

import io.ublkbridge.kernel.UblkAbi;
import io.ublkbridge.kernel.UblkParams;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.Geometry;

/// Turns what a target is and can do into what the kernel is told. Write cache, FUA and discard are
/// decided here and nowhere else.
///
/// Without `VOLATILE_CACHE` the kernel never sends a FLUSH, and it looks at `FUA` only together
/// with it (`ublk_ctrl_start_dev`).
final class DeviceParameters {
  private DeviceParameters() {}

  /// The parameters of a disk.
  ///
  /// @param maxIoBytes the longest request that the device was created for
  static UblkParams of(
      Geometry geometry, Capabilities capabilities, DeviceOptions options, int maxIoBytes) {
    int blockBytes = Math.max(geometry.blockBytes(), options.blockBytes());
    int preferred = Math.max(blockBytes, geometry.preferredIoBytes());
    boolean writable = !capabilities.readOnly();
    return new UblkParams(
        attributes(capabilities),
        blockBytes,
        preferred,
        preferred,
        maxIoBytes,
        geometry.sizeBytes() / blockBytes * blockBytes,
        writable && capabilities.discard() ? geometry.maxZeroBytes() : 0,
        writable && capabilities.writeZeroes() ? geometry.maxZeroBytes() : 0);
  }

  private static int attributes(Capabilities capabilities) {
    int attributes = 0;
    if (capabilities.readOnly()) {
      attributes |= UblkAbi.UBLK_ATTR_READ_ONLY;
    }
    if (capabilities.rotational()) {
      attributes |= UblkAbi.UBLK_ATTR_ROTATIONAL;
    }
    if (capabilities.volatileCache()) {
      attributes |= UblkAbi.UBLK_ATTR_VOLATILE_CACHE;
      attributes |= capabilities.fua() ? UblkAbi.UBLK_ATTR_FUA : 0;
    }
    return attributes;
  }
}
