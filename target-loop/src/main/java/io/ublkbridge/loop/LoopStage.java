package io.ublkbridge.loop;

/// The step on the file that a request is at.
enum LoopStage {
  READ,
  WRITE,
  /// A hole, which reads as zeroes and takes no room.
  PUNCH_HOLE,
  /// Zeroes that keep their room.
  ZERO_RANGE,
  /// Zeroes that are written, where the file system cannot do better.
  ZERO_PAGES,
  /// Everything written before becomes durable.
  SYNC;

  /// Whether the step moves bytes, so that it can be done in part.
  boolean transfers() {
    return this == READ || this == WRITE || this == ZERO_PAGES;
  }
}
