package io.ublkbridge.target;

/// A range of a target in which everything is stored in the same way.
public record Extent(long offsetBytes, long lengthBytes, Type type) {

  /// How a range is stored.
  public enum Type {
    /// Allocated, with contents that must be read to be known.
    DATA,
    /// Not allocated, and reads as zeroes.
    HOLE,
    /// Allocated, and reads as zeroes.
    ZERO,
    /// Not allocated, and what a READ gives is not defined.
    UNDEFINED
  }

  public Extent {
    if (offsetBytes < 0 || lengthBytes <= 0 || lengthBytes > Long.MAX_VALUE - offsetBytes) {
      throw new IllegalArgumentException("no extent: " + offsetBytes + "+" + lengthBytes);
    }
  }

  public long endBytes() {
    return offsetBytes + lengthBytes;
  }
}
