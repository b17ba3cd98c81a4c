package io.ublkbridge.target;

import java.util.Map;

/// A target for tests of what stands in front of one: says what it is told to say, and gives every
/// queue the same lane.
///
/// @param queue what [#openQueue] returns
public record FixedTarget(Geometry geometry, Capabilities capabilities, TargetQueue queue)
    implements BlockTarget {

  @Override
  public Map<String, Object> details() {
    return Map.of();
  }

  @Override
  public TargetQueue openQueue(QueueContext context) {
    return queue;
  }

  @Override
  public void close() {}
}
