package io.ublkbridge.device;

import io.ublkbridge.queue.BoundedTarget;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.Outage;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetQueue;
import java.util.Map;
import java.util.Optional;

/// The one place where decorators are put around a target, in their order: bounds → target.
final class TargetStack {
  private TargetStack() {}

  static BlockTarget of(BlockTarget target, DeviceOptions options) {
    BlockTarget inner = options.readOnly() ? new ReadOnlyTarget(target) : target;
    return new BoundedTarget(inner);
  }

  /// Offers a target without its modifying operations; [BoundedTarget] then rejects them.
  private record ReadOnlyTarget(BlockTarget target) implements BlockTarget {
    @Override
    public Geometry geometry() {
      return target.geometry();
    }

    @Override
    public Capabilities capabilities() {
      return target.capabilities().asReadOnly();
    }

    @Override
    public Map<String, Object> details() {
      return target.details();
    }

    @Override
    public TargetQueue openQueue(QueueContext context) throws TargetOpenException {
      return target.openQueue(context);
    }

    @Override
    public Optional<Outage> outage() {
      return target.outage();
    }

    @Override
    public void stopping() {
      target.stopping();
    }

    @Override
    public void close() {
      target.close();
    }
  }
}
