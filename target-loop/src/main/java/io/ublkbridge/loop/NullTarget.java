package io.ublkbridge.loop;

import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.Succession;
import io.ublkbridge.target.TargetQueue;
import java.util.Map;
import java.util.Optional;

/// A disk that does nothing, for measuring everything around it: `null:SIZE`.
///
/// **No payload is transferred.** A WRITE is forgotten without being fetched, and a READ completes
/// without a byte being supplied: what its reader finds is undefined, and may be whatever the
/// kernel's pages held before. This is the one deliberate exception from the rule that a READ only
/// completes from bytes that the target supplied. The yardsticks it is measured against, the
/// kernel's `null_blk` and the null target of ublksrv, copy nothing either. Never put data on it.
///
/// Immutable: any thread, any loop.
final class NullTarget implements BlockTarget {
  private static final int QUEUES_MAX = 64;
  private static final int PREFERRED_IO_BYTES = 4096;
  private static final int MAX_IO_BYTES = 4 << 20;
  private static final long MAX_ZERO_BYTES = 1L << 30;

  private final Geometry geometry;

  NullTarget(long sizeBytes) {
    this.geometry =
        new Geometry(
            sizeBytes, Geometry.MIN_BLOCK_BYTES, PREFERRED_IO_BYTES, MAX_IO_BYTES, MAX_ZERO_BYTES);
  }

  @Override
  public Geometry geometry() {
    return geometry;
  }

  @Override
  public Capabilities capabilities() {
    return new Capabilities(false, false, false, true, true, false, QUEUES_MAX);
  }

  @Override
  public Map<String, Object> details() {
    return Map.of("contents", "undefined: nothing is stored");
  }

  @Override
  public Optional<Succession> succession() {
    return Optional.of(new Succession("nothing"));
  }

  @Override
  public TargetQueue openQueue(QueueContext context) {
    return new NullQueue();
  }

  @Override
  public void close() {}

  private static final class NullQueue implements TargetQueue {
    @Override
    public void submit(BlockRequest request) {
      request.complete();
    }

    @Override
    public void close() {}
  }
}
