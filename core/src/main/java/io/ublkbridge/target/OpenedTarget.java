package io.ublkbridge.target;

import io.ublkbridge.target.TargetOpenException.Reason;
import java.util.List;
import java.util.Optional;

/// The inspection of a target that was opened as for use, and has no more to tell.
record OpenedTarget(BlockTarget opened) implements Inspection {
  @Override
  public Optional<BlockTarget> target() {
    return Optional.of(opened);
  }

  @Override
  public List<Offer> offers() {
    return List.of();
  }

  @Override
  public void readMap(ExtentVisitor map) throws TargetOpenException {
    throw new TargetOpenException(
        Reason.UNSUPPORTED, "targets of this kind do not tell where they hold data", null);
  }

  @Override
  public void close() {
    opened.close();
  }
}
