package io.ublkbridge.device;

import io.ublkbridge.cache.CachedTarget;
import io.ublkbridge.overlay.OverlayTarget;
import io.ublkbridge.queue.BoundedTarget;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.ForwardingTarget;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetUri;
import java.nio.file.Path;
import java.util.Optional;

/// The one place where decorators are put around a target, in their order: bounds → read-only →
/// overlay → cache → target.
public final class TargetStack {
  /// The option that names an overlay's file.
  private static final String OVERLAY = "overlay";

  private TargetStack() {}

  /// Opens the target of a URI with everything that its options put in front of it. Whoever closes
  /// the result closes all of it.
  ///
  /// @throws TargetOpenException if a part of it cannot be opened; nothing is left behind then
  public static BoundedTarget open(TargetRegistry targets, TargetUri uri, OpenContext context)
      throws TargetOpenException {
    BlockTarget target = withOverlay(targets, uri, context);
    return new BoundedTarget(context.readOnly() ? new ReadOnlyTarget(target) : target);
  }

  /// What is below an overlay is only read.
  private static BlockTarget withOverlay(TargetRegistry targets, TargetUri uri, OpenContext context)
      throws TargetOpenException {
    Optional<String> overlay = context.option(OVERLAY);
    if (overlay.isEmpty()) {
      return withCache(targets, uri, context);
    }
    OpenContext readOnly =
        new OpenContext(context.eventLoop(), true, context.timeout(), context.options());
    BlockTarget base = withCache(targets, uri, readOnly);
    try {
      return OverlayTarget.open(base, uri.toString(), Path.of(overlay.get()), context);
    } catch (TargetOpenException | RuntimeException e) {
      base.close();
      throw e;
    }
  }

  private static BlockTarget withCache(TargetRegistry targets, TargetUri uri, OpenContext context)
      throws TargetOpenException {
    BlockTarget target = targets.open(uri, context);
    try {
      return CachedTarget.over(target, uri, context, targets.cacheBytesByDefault(uri));
    } catch (TargetOpenException | RuntimeException e) {
      target.close();
      throw e;
    }
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

    @Override
    public boolean usesPayloadBuffers() {
      return next().usesPayloadBuffers();
    }
  }
}
