package io.ublkbridge.queue;

import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.ForwardingTarget;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetQueue;

/// The one place that rejects a request which the target must never see: outside of the disk, not
/// in whole blocks, longer than allowed, or of a kind that was not offered.
///
/// The kernel keeps to what it was told; this guards against our own mistakes and against requests
/// that were under way when something changed.
public final class BoundedTarget extends ForwardingTarget {
  private volatile Geometry geometry;

  public BoundedTarget(BlockTarget target) {
    super(target);
    geometry = target.geometry();
  }

  @Override
  public Geometry geometry() {
    return geometry;
  }

  @Override
  public void resize(long sizeBytes) {
    super.resize(sizeBytes);
    geometry = next().geometry();
  }

  @Override
  public boolean usesPayloadBuffers() {
    return next().usesPayloadBuffers();
  }

  @Override
  public TargetQueue openQueue(QueueContext context) throws TargetOpenException {
    return new BoundedQueue(next().openQueue(context), this, capabilities());
  }

  private record BoundedQueue(TargetQueue queue, BoundedTarget target, Capabilities capabilities)
      implements TargetQueue {

    @Override
    public void submit(BlockRequest request) {
      Operation operation = request.operation();
      if (!capabilities.allows(operation)) {
        request.fail(operation.modifies() ? refusal() : IoError.UNSUPPORTED, null);
      } else if (operation != Operation.FLUSH && !inside(request)) {
        request.fail(IoError.IO, null);
      } else {
        queue.submit(request);
      }
    }

    private IoError refusal() {
      return capabilities.readOnly() ? IoError.IO : IoError.UNSUPPORTED;
    }

    private boolean inside(BlockRequest request) {
      Geometry geometry = target.geometry;
      long offset = request.offsetBytes();
      long length = request.lengthBytes();
      long most =
          request.operation().hasPayload() ? geometry.maxIoBytes() : geometry.maxZeroBytes();
      long blockMask = geometry.blockBytes() - 1L;
      return length > 0
          && length <= most
          && offset >= 0
          && offset <= geometry.sizeBytes() - length
          && ((offset | length) & blockMask) == 0;
    }

    @Override
    public void close() {
      queue.close();
    }
  }
}
