package io.ublkbridge.device;

import io.ublkbridge.cache.CachedTarget;
import io.ublkbridge.queue.BoundedTarget;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.ForwardingTarget;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetUri;

/// The one place where decorators are put around a target, in their order: bounds → read-only →
/// cache → target.
public final class TargetStack {
  private TargetStack() {}

  /// Opens the target of a URI with everything that its options put in front of it. Whoever closes
  /// the result closes all of it.
  ///
  /// @throws TargetOpenException if a part of it cannot be opened; nothing is left behind then
  public static BoundedTarget open(TargetRegistry targets, TargetUri uri, OpenContext context)
      throws TargetOpenException {
    BlockTarget target = targets.open(uri, context);
    try {
      target = CachedTarget.over(target, uri, context);
    } catch (TargetOpenException | RuntimeException e) {
      target.close();
      throw e;
    }
    return new BoundedTarget(context.readOnly() ? new ReadOnlyTarget(target) : target);
  }

  /// Offers a target without its modifying operations; [BoundedTarget] then rejects them.
  private static final class ReadOnlyTarget extends ForwardingTarget {
    ReadOnlyTarget(BlockTarget target) {
      super(target);
    }

    @Override
    public Capabilities capabilities() {
      return super.capabilities().asReadOnly();
    }
  }
}
