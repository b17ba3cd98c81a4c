package io.ublkbridge.nbd;

import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Inspection;
import io.ublkbridge.target.Offer;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/// What an NBD server tells of an export, or only of which exports it has.
///
/// @param export null if the server has no default export, and none was named
/// @param allocation reads from the export's connection; null without an export
record NbdInspection(
    @Nullable NbdTarget export, List<Offer> offers, @Nullable AllocationReader allocation)
    implements Inspection {

  @Override
  public Optional<BlockTarget> target() {
    return Optional.ofNullable(export);
  }

  @Override
  public void readMap(ExtentVisitor map) throws TargetOpenException {
    if (export == null || allocation == null) {
      throw new TargetOpenException(
          Reason.FAILED, "the server has no default export", "name one of its exports in the URI");
    }
    allocation.read(export.geometry(), map);
  }

  @Override
  public void close() {
    if (export != null) {
      export.close();
    }
  }
}
