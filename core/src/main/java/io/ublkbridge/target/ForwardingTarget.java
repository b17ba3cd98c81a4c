package io.ublkbridge.target;

import java.time.Duration;
import java.util.Map;
import java.util.Optional;

/// A decorator's beginning: everything is as the target behind it says, until overridden. The
/// target behind it is closed with it.
public abstract class ForwardingTarget implements BlockTarget {
  private final BlockTarget next;

  protected ForwardingTarget(BlockTarget next) {
    this.next = next;
  }

  /// The target behind this one.
  protected final BlockTarget next() {
    return next;
  }

  @Override
  public Geometry geometry() {
    return next.geometry();
  }

  @Override
  public Capabilities capabilities() {
    return next.capabilities();
  }

  @Override
  public Map<String, Object> details() {
    return next.details();
  }

  @Override
  public TargetQueue openQueue(QueueContext context) throws TargetOpenException {
    return next.openQueue(context);
  }

  @Override
  public Optional<String> contentIdentity() {
    return next.contentIdentity();
  }

  @Override
  public Optional<Succession> succession() {
    return next.succession();
  }

  @Override
  public Optional<Outage> outage() {
    return next.outage();
  }

  @Override
  public long presentSize(Duration timeout) throws TargetOpenException {
    return next.presentSize(timeout);
  }

  @Override
  public void resize(long sizeBytes) {
    next.resize(sizeBytes);
  }

  @Override
  public void stopping() {
    next.stopping();
  }

  @Override
  public void close() {
    next.close();
  }
}
