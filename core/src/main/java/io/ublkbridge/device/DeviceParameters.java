package io.ublkbridge.device;

import io.ublkbridge.kernel.UblkAbi;
import io.ublkbridge.kernel.UblkParams;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.Geometry;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

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

  /// What keeps a disk that is there from being served by a target that was opened later, in words
  /// that continue "the target has changed". Its users were promised a size, a block and certain
  /// operations; a target that can do more is welcome.
  ///
  /// @param there what the kernel was told when the disk was made
  /// @param made what it would be told of the target now
  static Optional<String> difference(UblkParams there, UblkParams made) {
    UblkParams now = made.asKept();
    List<String> differences = new ArrayList<>();
    if (there.sizeBytes() != now.sizeBytes()) {
      differences.add("its size was " + there.sizeBytes() + " bytes and is " + now.sizeBytes());
    }
    if (there.blockBytes() != now.blockBytes()) {
      differences.add("its block was " + there.blockBytes() + " bytes and is " + now.blockBytes());
    }
    lowered(differences, "request", there.maxIoBytes(), now.maxIoBytes());
    lowered(differences, "discard", there.maxDiscardBytes(), now.maxDiscardBytes());
    lowered(differences, "zeroing", there.maxWriteZeroesBytes(), now.maxWriteZeroesBytes());
    int changed = there.attributes() ^ now.attributes();
    int gone = there.attributes() & ~now.attributes();
    if ((changed & UblkAbi.UBLK_ATTR_READ_ONLY) != 0) {
      differences.add(made.isReadOnly() ? "it is read-only now" : "it is no longer read-only");
    }
    if ((changed & UblkAbi.UBLK_ATTR_VOLATILE_CACHE) != 0) {
      // One that has come would never be flushed.
      differences.add("its write cache has come or gone");
    } else if ((gone & UblkAbi.UBLK_ATTR_FUA) != 0) {
      differences.add("it can no longer make a single write durable");
    }
    return differences.isEmpty() ? Optional.empty() : Optional.of(String.join(", ", differences));
  }

  private static void lowered(List<String> differences, String what, long there, long now) {
    if (now < there) {
      differences.add("its longest " + what + " was " + there + " bytes and is " + now);
    }
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
