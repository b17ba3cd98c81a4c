package io.ublkbridge.nbd;

import java.util.ArrayList;
import java.util.List;

/// Keeps new writes away from blocks on which an older one is in doubt (sent on a connection that
/// was lost), whichever queue it belongs to: the older one must have been done again first, and if
/// the old server may still be alive, it gets some time to do what it was sent. NBD knows no way to
/// call a request back.
///
/// All methods may be called from every thread.
final class Fence {
  private record Extent(int queue, long start, long end, boolean ambiguous) {
    boolean overlaps(long offset, long length) {
      return start < offset + length && offset < end;
    }
  }

  private final Runnable lowered;
  private final List<Extent> extents = new ArrayList<>();

  /// How many lost connections' servers may still be at work.
  private int suspects;

  private volatile boolean raised;

  /// @param lowered run when there is less to wait for
  Fence(Runnable lowered) {
    this.lowered = lowered;
  }

  /// A write of a queue is in doubt.
  ///
  /// @param ambiguous whether its old server may still execute it; [#suspect] was called then
  synchronized void raise(int queue, long offset, long length, boolean ambiguous) {
    extents.add(new Extent(queue, offset, offset + length, ambiguous));
    raised = true;
  }

  /// A connection was lost to a server that may still be at work, until [#cleared].
  synchronized void suspect() {
    suspects++;
  }

  /// Such a server has had its time.
  void cleared() {
    synchronized (this) {
      suspects--;
      if (suspects == 0) {
        // What its queue has not done again yet stays, as if it had been lost unambiguously.
        extents.replaceAll(extent -> new Extent(extent.queue, extent.start, extent.end, false));
        extents.removeIf(extent -> extent.queue < 0);
      }
      raised = !extents.isEmpty();
    }
    lowered.run();
  }

  /// Everything of a queue that was in doubt has ended.
  void settled(int queue) {
    synchronized (this) {
      extents.removeIf(extent -> extent.queue == queue && !extent.ambiguous);
      extents.replaceAll(extent ->
          extent.queue == queue ? new Extent(-1, extent.start, extent.end, true) : extent);
      raised = !extents.isEmpty();
    }
    lowered.run();
  }

  /// Whether a new write must wait.
  boolean holds(long offset, long length) {
    return raised && overlapsAny(offset, length);
  }

  private synchronized boolean overlapsAny(long offset, long length) {
    for (Extent extent : extents) {
      if (extent.overlaps(offset, length)) {
        return true;
      }
    }
    return false;
  }
}
