package io.ublkbridge.cache;

import io.netty.util.collection.LongObjectHashMap;
import io.ublkbridge.cache.CacheCounters.Count;
import io.ublkbridge.target.BlockRequest;
import java.util.ArrayDeque;
import java.util.Deque;
import org.jspecify.annotations.Nullable;

/// Blocks of one queue that are held outside of the cache: read ahead and not asked for yet, or
/// part of a long sequential read that is not let in. Confined to the queue's event loop.
///
/// The cache's policy would drive them out first, since nobody has used them before; here they stay
/// until they are read or their stream has gone elsewhere. Other queues do not see them. A block is
/// out of date when its generation has ended.
final class PassingBlocks {
  /// A block that is held; has one reference to its frame.
  static final class Held {
    final long block;
    final BlockBuffer frame;
    final long generation;
    final @Nullable ReadStream stream;
    boolean used;
    boolean gone;

    Held(BlockFetch fetch, boolean used) {
      this.block = fetch.block();
      this.frame = fetch.frame();
      this.generation = fetch.generation();
      this.stream = fetch.run().stream();
      this.used = used;
    }
  }

  private final BlockCache cache;
  private final BlockMap map;
  private final CacheCounters counters;
  private final LongObjectHashMap<Held> held = new LongObjectHashMap<>();
  private final Deque<Held> oldestFirst = new ArrayDeque<>();

  PassingBlocks(BlockCache cache, BlockMap map, CacheCounters counters) {
    this.cache = cache;
    this.map = map;
    this.counters = counters;
  }

  int size() {
    return held.size();
  }

  boolean holds(long block) {
    Held found = held.get(block);
    return found != null && found.generation == cache.generation(block);
  }

  /// Holds a block that has come; there is room.
  void hold(BlockFetch fetch, boolean used) {
    fetch.frame().retain();
    Held added = new Held(fetch, used);
    Held before = held.put(added.block, added);
    if (before != null) {
      letGo(before);
    }
    oldestFirst.add(added);
  }

  /// Gives a request what is held of a block.
  ///
  /// @param admitted whether the block may enter the cache now that it is used
  /// @return whether it is held
  boolean serve(BlockRequest request, long block, boolean admitted) {
    Held found = held.get(block);
    if (found == null) {
      return false;
    }
    if (found.generation != cache.generation(block)) {
      remove(found);
      return false;
    }
    map.store(request, block, found.frame.memory());
    if (!found.used) {
      found.used = true;
      counters.add(Count.AHEAD_USED, 1);
    }
    if (admitted) {
      if (!cache.land(block, found.frame, found.generation)) {
        counters.add(Count.STALE_FILLS, 1);
      }
      remove(found);
    } else if (request.offsetBytes() + request.lengthBytes() >= map.endOf(block)) {
      counters.add(Count.BYPASSED, 1);
      remove(found);
    }
    return true;
  }

  /// Gives up the oldest block, unless somebody still waits for it to be useful.
  ///
  /// @param stream that the room is for; it never drives out its own
  /// @return whether there is room for one more
  boolean makeRoom(@Nullable ReadStream stream) {
    while (!oldestFirst.isEmpty() && oldestFirst.peek().gone) {
      oldestFirst.remove();
    }
    Held oldest = oldestFirst.peek();
    if (oldest == null) {
      return false;
    }
    boolean awaited =
        !oldest.used
            && oldest.stream != null
            && (oldest.stream == stream || oldest.stream.expects(map.startOf(oldest.block)));
    if (awaited) {
      return false;
    }
    remove(oldest);
    return true;
  }

  private void remove(Held removed) {
    held.remove(removed.block);
    letGo(removed);
  }

  private void letGo(Held removed) {
    removed.gone = true;
    removed.frame.release();
    if (!removed.used) {
      counters.add(Count.AHEAD_WASTED, 1);
      if (removed.stream != null) {
        removed.stream.wasted();
      }
    }
    if (oldestFirst.size() > 2 * held.size() + 64) {
      oldestFirst.removeIf(each -> each.gone);
    }
  }

  /// Gives everything up.
  void clear() {
    for (Held each : oldestFirst) {
      if (!each.gone) {
        each.gone = true;
        each.frame.release();
      }
    }
    oldestFirst.clear();
    held.clear();
  }
}
