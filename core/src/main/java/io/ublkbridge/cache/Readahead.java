package io.ublkbridge.cache;

import io.ublkbridge.cache.CacheCounters.Count;
import io.ublkbridge.cache.FillRun.Purpose;
import org.jspecify.annotations.Nullable;

/// Sees which reads of a queue follow one another, and fetches what they will want next. Confined
/// to the queue's event loop.
///
/// Up to 16 streams are known, by where their next read is expected. From the second read on a
/// stream has a window, which doubles each time that half of it is used up, and is halved when a
/// block was fetched for nothing. Fetching ahead has memory of its own, so that no request ever
/// waits for room because of it.
final class Readahead {
  static final int STREAMS_MAX = 16;

  /// More sequential streams than these give way to new ones.
  private static final int SEQUENTIAL_MAX = 12;

  /// A stream that had no part in so many reads of the queue has ended, as far as anyone knows.
  private static final long IDLE_READS = 512;

  private final Fills fills;
  private final PassingBlocks passing;
  private final long windowBytesMax;
  private final long scanBytes;
  private final long aheadBytesMax;
  private final BlockKey key = new BlockKey(0);
  private final @Nullable ReadStream[] streams = new ReadStream[STREAMS_MAX];
  private long reads;

  /// @param windowBytesMax 0 to read nothing ahead
  /// @param aheadBytesMax what may be fetched or held for nobody
  Readahead(Fills fills, PassingBlocks passing, long windowBytesMax, long aheadBytesMax) {
    this.fills = fills;
    this.passing = passing;
    this.windowBytesMax = windowBytesMax;
    this.aheadBytesMax = aheadBytesMax;
    CacheBudget budget = fills.cache().budget();
    this.scanBytes = (long) budget.cachedBlocks() * budget.blockBytes() / 4;
  }

  /// A request reads; says which stream it belongs to.
  ReadStream read(long offsetBytes, long lengthBytes) {
    reads++;
    ReadStream found = find(offsetBytes);
    if (found != null) {
      found.extend(offsetBytes, lengthBytes, reads);
      return found;
    }
    int slot = slotForNew();
    ReadStream replaced = streams[slot];
    if (replaced != null && !replaced.sequential()) {
      // Nothing was read ahead for it, so that nobody else knows it.
      replaced.start(offsetBytes, lengthBytes, reads);
      return replaced;
    }
    if (replaced != null) {
      replaced.forget();
    }
    ReadStream added = new ReadStream(this);
    added.start(offsetBytes, lengthBytes, reads);
    streams[slot] = added;
    return added;
  }

  private @Nullable ReadStream find(long offsetBytes) {
    ReadStream near = null;
    for (ReadStream stream : streams) {
      if (stream == null) {
        break;
      }
      if (stream.continuesAt(offsetBytes)) {
        return stream;
      }
      if (stream.isNear(offsetBytes)) {
        near = stream;
      }
    }
    return near;
  }

  /// The place of the stream that was idle for longest; one that is sequential gives way to single
  /// reads only when there are too many like it.
  private int slotForNew() {
    int oldestSingle = -1;
    int oldest = 0;
    int sequential = 0;
    for (int i = 0; i < streams.length; i++) {
      ReadStream stream = streams[i];
      if (stream == null) {
        return i;
      }
      if (stream.lastUse() < use(oldest)) {
        oldest = i;
      }
      if (stream.sequential()) {
        sequential++;
      } else if (oldestSingle < 0 || stream.lastUse() < use(oldestSingle)) {
        oldestSingle = i;
      }
    }
    return oldestSingle < 0 || sequential > SEQUENTIAL_MAX ? oldest : oldestSingle;
  }

  private long use(int slot) {
    ReadStream stream = streams[slot];
    return stream == null ? 0 : stream.lastUse();
  }

  boolean idle(ReadStream stream) {
    return reads - stream.lastUse() > IDLE_READS;
  }

  /// Whether what the stream reads may enter the cache. A sequential read of more than a quarter of
  /// it will hardly be repeated before the cache has forgotten its beginning; it only fills what
  /// room there is.
  boolean admits(ReadStream stream) {
    return stream.runBytes() <= scanBytes || fills.cache().hasRoom();
  }

  /// Fetches what the stream will want, as far as there is room.
  void advance(ReadStream stream) {
    if (!stream.sequential() || windowBytesMax == 0) {
      return;
    }
    long window = Math.min(stream.windowBytes(), Math.min(windowBytesMax, share()));
    if (stream.aheadUntil() - stream.nextByte() > window / 2) {
      return;
    }
    BlockMap map = fills.map();
    long end = Math.min(map.sizeBytes(), stream.nextByte() + window);
    if (end <= stream.aheadUntil()) {
      return;
    }
    long last = map.blockOf(end - 1);
    long block = map.blockOf(stream.aheadUntil());
    boolean admitted = admits(stream);
    while (block <= last) {
      if (known(block)) {
        block++;
        continue;
      }
      int count = missing(stream, block, last);
      FillRun run =
          count == 0 ? null : fills.prepare(Purpose.AHEAD, admitted, stream, block, count);
      if (run == null) {
        break;
      }
      int started = run.fetches().length;
      block += started;
      fills.counters().add(Count.AHEAD_ISSUED, started);
      fills.submit(run);
    }
    if (map.startOf(block) > stream.aheadUntil()) {
      stream.askedUntil(Math.min(end, map.startOf(block)), windowBytesMax);
    }
  }

  /// How many blocks from `first` on are to be fetched at once: 0 if there is no room.
  private int missing(ReadStream stream, long first, long last) {
    int max = (int) Math.min(fills.runBlocksMax(), last - first + 1);
    int count = 0;
    while (count < max
        && !known(first + count)
        && (count < fills.aheadRoom() || makeRoom(stream, count))) {
      count++;
    }
    return count;
  }

  private boolean makeRoom(ReadStream stream, int count) {
    while (fills.aheadRoom() <= count) {
      if (!passing.makeRoom(stream)) {
        return false;
      }
    }
    return true;
  }

  private boolean known(long block) {
    return fills.joinable(block) != null
        || passing.holds(block)
        || fills.cache().holds(key.at(block));
  }

  /// What one of the streams that are at work may have ahead.
  private long share() {
    int busy = 0;
    for (ReadStream stream : streams) {
      if (stream != null && stream.sequential() && !idle(stream)) {
        busy++;
      }
    }
    return aheadBytesMax / Math.max(1, busy);
  }
}
