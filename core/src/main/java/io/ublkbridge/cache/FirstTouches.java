package io.ublkbridge.cache;

import io.ublkbridge.cache.TouchList.Range;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicLongArray;

/// Which blocks of a disk have been read, and in what order first. Any thread; a block that was
/// read before costs one look at a bit.
final class FirstTouches {
  /// One bit each: 4 MiB at most. On larger disks a bit stands for several blocks.
  private static final long UNITS_MAX = 1 << 25;

  private final BlockMap map;
  private final int unitShift;
  private final AtomicLongArray touched;
  private final int rangesMax;
  private long[] firsts = new long[64];
  private long[] counts = new long[64];
  private int rangeCount;
  private volatile boolean full;

  FirstTouches(BlockMap map) {
    this(map, TouchList.RANGES_MAX);
  }

  FirstTouches(BlockMap map, int rangesMax) {
    this.map = map;
    this.rangesMax = rangesMax;
    int shift = 0;
    while (map.count() >>> shift > UNITS_MAX) {
      shift++;
    }
    unitShift = shift;
    touched = new AtomicLongArray((int) ((map.count() >>> shift) / Long.SIZE + 1));
  }

  /// Blocks `first` to `last` are read.
  void touch(long first, long last) {
    if (full) {
      return;
    }
    for (long block = first; block <= last; block++) {
      long unit = block >>> unitShift;
      int word = (int) (unit / Long.SIZE);
      long bit = 1L << unit;
      if ((touched.getPlain(word) & bit) == 0
          && (touched.getAndUpdate(word, w -> w | bit) & bit) == 0) {
        append(block);
      }
    }
  }

  private synchronized void append(long block) {
    int last = rangeCount - 1;
    if (last >= 0 && firsts[last] + counts[last] == block) {
      counts[last]++;
      return;
    }
    if (rangeCount == rangesMax) {
      full = true;
      return;
    }
    if (rangeCount == firsts.length) {
      firsts = Arrays.copyOf(firsts, 2 * rangeCount);
      counts = Arrays.copyOf(counts, 2 * rangeCount);
    }
    firsts[rangeCount] = block;
    counts[rangeCount] = 1;
    rangeCount++;
  }

  /// What was touched so far.
  synchronized List<Range> ranges() {
    List<Range> ranges = new ArrayList<>(rangeCount);
    for (int i = 0; i < rangeCount; i++) {
      long start = map.startOf(firsts[i]);
      ranges.add(new Range(start, map.endOf(firsts[i] + counts[i] - 1) - start));
    }
    return ranges;
  }
}
