package io.ublkbridge.nbd;

import java.util.Arrays;

/// Which bytes of a READ the server has supplied (spec: "structured replies": chunks of content
/// must not overlap, and must leave no gap).
///
/// Chunks that come in order, as nearly all do, only move the end of a prefix. Others are kept as
/// ranges in ascending order, joined where they touch, in an array that is made on first need and
/// kept for later requests.
///
/// Confined to one event loop. Offsets are bytes from the start of the request.
final class ReadCoverage {
  /// How many separate ranges beyond the prefix are followed. A server that scatters more of them
  /// over one request is treated as a broken one.
  static final int RANGES_MAX = 1024;

  private int prefixEnd;

  /// Start and end of each range, in turn; the first starts behind the prefix.
  private int[] ranges = new int[0];

  private int rangeCount;

  void clear() {
    prefixEnd = 0;
    rangeCount = 0;
  }

  /// Whether every byte up to `length` was supplied.
  boolean covers(int length) {
    return prefixEnd == length;
  }

  /// Marks `start` to `end` as supplied.
  ///
  /// @return false if a byte of it was supplied before, or there are too many ranges
  boolean add(int start, int end) {
    if (start == prefixEnd && rangeCount == 0) {
      prefixEnd = end;
      return true;
    }
    return addOutOfOrder(start, end);
  }

  private boolean addOutOfOrder(int start, int end) {
    if (start < prefixEnd) {
      return false;
    }
    int next = 0;
    while (next < rangeCount && ranges[2 * next] < start) {
      next++;
    }
    if (next > 0 && ranges[2 * next - 1] > start) {
      return false;
    }
    if (next < rangeCount && ranges[2 * next] < end) {
      return false;
    }
    if (!insert(next, start, end)) {
      return false;
    }
    if (ranges[0] == prefixEnd) {
      prefixEnd = ranges[1];
      remove(0);
    }
    return true;
  }

  /// Puts a range that overlaps none in front of range `next`, joining it with its neighbours.
  private boolean insert(int next, int start, int end) {
    boolean joinsBefore = next > 0 && ranges[2 * next - 1] == start;
    boolean joinsAfter = next < rangeCount && ranges[2 * next] == end;
    if (joinsBefore && joinsAfter) {
      ranges[2 * next - 1] = ranges[2 * next + 1];
      remove(next);
    } else if (joinsBefore) {
      ranges[2 * next - 1] = end;
    } else if (joinsAfter) {
      ranges[2 * next] = start;
    } else {
      if (rangeCount == RANGES_MAX) {
        return false;
      }
      if (ranges.length < 2 * (rangeCount + 1)) {
        ranges = Arrays.copyOf(ranges, Math.max(8, 2 * ranges.length));
      }
      System.arraycopy(ranges, 2 * next, ranges, 2 * next + 2, 2 * (rangeCount - next));
      ranges[2 * next] = start;
      ranges[2 * next + 1] = end;
      rangeCount++;
    }
    return true;
  }

  private void remove(int range) {
    System.arraycopy(ranges, 2 * range + 2, ranges, 2 * range, 2 * (rangeCount - range - 1));
    rangeCount--;
  }
}
