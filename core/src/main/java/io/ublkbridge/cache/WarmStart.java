package io.ublkbridge.cache;

import io.ublkbridge.cache.CacheCounters.Count;
import io.ublkbridge.cache.FillRun.Purpose;
import io.ublkbridge.cache.TouchList.Range;
import java.util.Iterator;

/// Fetches what another run has used, in its order, while there is room for it and nobody waits.
/// Confined to the event loop of the one queue that does it.
///
/// It uses the memory that is set aside for readahead, half of it at most, and stops when the cache
/// is full, unless a tier takes what is fetched.
final class WarmStart {
  /// So many failures mean that the target has other worries.
  private static final int FAILURES_MAX = 16;

  private final Fills fills;
  private final Iterator<Range> ranges;
  private final BlockKey key = new BlockKey(0);
  private long next;
  private long last = -1;
  private boolean advancing;
  private boolean over;

  WarmStart(Fills fills, TouchList list) {
    this.fills = fills;
    this.ranges = list.ranges().iterator();
  }

  /// Fetches more if there is room.
  void advance() {
    if (advancing || over) {
      return;
    }
    advancing = true;
    while (mayFetch() && find()) {
      int count = missing();
      FillRun run = fills.prepare(Purpose.WARM_UP, true, null, next, count);
      if (run == null) {
        break;
      }
      next += run.fetches().length;
      fills.counters().add(Count.WARMED, run.fetches().length);
      fills.submit(run);
    }
    advancing = false;
  }

  private boolean mayFetch() {
    if (fills.failedWarmUps() > FAILURES_MAX || (!fills.cache().hasRoom() && !fills.hasTier())) {
      over = true;
    }
    return !over && fills.aheadRoom() > 0 && fills.aheadCount() < Math.max(1, fills.aheadMax() / 2);
  }

  /// Moves to the next block that is not here yet.
  private boolean find() {
    while (true) {
      while (next <= last) {
        if (!known(next)) {
          return true;
        }
        next++;
      }
      if (!ranges.hasNext()) {
        over = true;
        return false;
      }
      Range range = ranges.next();
      BlockMap map = fills.map();
      next = map.blockOf(range.offsetBytes());
      last = map.blockOf(range.offsetBytes() + range.lengthBytes() - 1);
    }
  }

  private int missing() {
    long max = Math.min(last - next + 1, Math.min(fills.aheadRoom(), fills.runBlocksMax()));
    int count = 1;
    while (count < max && !known(next + count)) {
      count++;
    }
    return count;
  }

  private boolean known(long block) {
    return fills.cache().holds(key.at(block)) || fills.joinable(block) != null;
  }
}
