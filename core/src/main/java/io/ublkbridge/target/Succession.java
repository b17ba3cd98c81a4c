package io.ublkbridge.target;

import java.time.Duration;

/// What a process must know that takes a disk over from one that died.
///
/// A target that has one can bear that each request which was under way is sent twice, by the dead
/// process and again by its successor, and keeps all that it has acknowledged without the process.
///
/// @param identity names the disk: a target that was opened by the successor and gives another one
///   is another disk. Kept in a file that everybody may read, so it holds no secret
/// @param settling how long what the dead process had sent may still take effect once the successor
///   has opened the target; nothing may be written before
public record Succession(String identity, Duration settling) {
  /// A target on which nothing is left under way when a process is gone.
  public Succession(String identity) {
    this(identity, Duration.ZERO);
  }

  public Succession {
    if (identity.isEmpty() || settling.isNegative()) {
      throw new IllegalArgumentException("no succession to '" + identity + "' in " + settling);
    }
  }
}
