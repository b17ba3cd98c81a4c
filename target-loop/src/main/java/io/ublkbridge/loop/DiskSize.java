package io.ublkbridge.loop;

import io.ublkbridge.target.ByteSize;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import io.ublkbridge.target.TargetUri;

/// The SIZE of `null:SIZE` and `memory:SIZE`.
final class DiskSize {
  /// Far above what anybody means, far below where arithmetic on sizes gets near its limits.
  static final long MAX_BYTES = 1L << 50;

  private DiskSize() {}

  /// How long the disk is, in bytes: a multiple of 512, from 512 to 1 PiB.
  ///
  /// @throws TargetOpenException if that is not what the URI says; nothing is ever rounded, since a
  ///   disk that is not as long as asked for surprises whoever partitions it
  static long parse(TargetUri uri) throws TargetOpenException {
    long bytes;
    try {
      bytes = ByteSize.parse(uri.rest());
    } catch (IllegalArgumentException e) {
      throw invalid(uri, String.valueOf(e.getMessage()));
    }
    if (bytes == 0) {
      throw invalid(uri, "a disk of size 0 cannot be used");
    }
    if (bytes % Geometry.MIN_BLOCK_BYTES != 0) {
      throw invalid(uri, bytes + " bytes is not a multiple of 512");
    }
    if (bytes > MAX_BYTES) {
      throw invalid(uri, "'" + uri.rest() + "' is larger than 1P");
    }
    return bytes;
  }

  private static TargetOpenException invalid(TargetUri uri, String message) {
    return new TargetOpenException(
        Reason.INVALID, message, "write " + uri.scheme() + ":1G, or another multiple of 512 bytes");
  }
}
