package io.ublkbridge.cache;

import io.netty.util.collection.LongObjectHashMap;
import io.ublkbridge.cache.CacheCounters.Count;
import io.ublkbridge.cache.FillRun.Purpose;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.TargetQueue;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// The blocks of one queue that are on their way: no block twice, and never more than its share of
/// the memory. Confined to the queue's event loop.
///
/// Another queue may fetch the same block at the same time; whichever comes second finds the first
/// one's in the cache and keeps it.
final class Fills {
  private final Lane lane;
  private final PassingBlocks passing;
  private final int demandMax;
  private final int aheadMax;
  private final LongObjectHashMap<BlockFetch> underWay = new LongObjectHashMap<>();
  private int demandCount;
  private int aheadCount;
  private int failedWarmUps;
  private Runnable afterProgress = () -> {};

  /// What the parts of a queue share.
  ///
  /// @param runBlocksMax how many neighbouring blocks the target is asked for at once
  record Lane(
      BlockCache cache,
      BlockMap map,
      CacheCounters counters,
      TargetQueue target,
      BlockTier.@Nullable Lane tier,
      int runBlocksMax) {}

  /// @param demandMax how many blocks may be on their way for requests
  /// @param aheadMax how many may be on their way for nobody, or be held for nobody
  Fills(Lane lane, PassingBlocks passing, int demandMax, int aheadMax) {
    this.lane = lane;
    this.passing = passing;
    this.demandMax = demandMax;
    this.aheadMax = aheadMax;
  }

  /// Sets what happens whenever there may be room for more.
  void afterProgress(Runnable action) {
    afterProgress = action;
  }

  BlockCache cache() {
    return lane.cache();
  }

  BlockMap map() {
    return lane.map();
  }

  CacheCounters counters() {
    return lane.counters();
  }

  TargetQueue target() {
    return lane.target();
  }

  boolean hasTier() {
    return lane.tier() != null;
  }

  int runBlocksMax() {
    return lane.runBlocksMax();
  }

  /// Whether nothing is on its way.
  boolean idle() {
    return demandCount + aheadCount == 0;
  }

  int aheadCount() {
    return aheadCount;
  }

  int aheadMax() {
    return aheadMax;
  }

  /// How many blocks of the list of another run could not be fetched.
  int failedWarmUps() {
    return failedWarmUps;
  }

  /// How many more blocks may be fetched for requests now.
  int demandRoom() {
    return demandMax - demandCount;
  }

  /// How many more blocks may be fetched for nobody now.
  int aheadRoom() {
    return aheadMax - aheadCount - passing.size();
  }

  /// The fetch of a block that a new request may join: one that began after every modification of
  /// the block that has completed.
  @Nullable BlockFetch joinable(long block) {
    BlockFetch fetch = underWay.get(block);
    return fetch != null && fetch.generation() == cache().generation(block) ? fetch : null;
  }

  /// Prepares to fetch up to `count` blocks from `first` on, as many as there are frames for;
  /// [#submit] begins.
  ///
  /// @return null if there is no frame at all
  @Nullable FillRun prepare(
      Purpose purpose, boolean admitted, @Nullable ReadStream stream, long first, int count) {
    BlockBuffer[] frames = new BlockBuffer[count];
    int taken = 0;
    while (taken < count) {
      BlockBuffer frame = cache().takeFrame();
      if (frame == null) {
        break;
      }
      frames[taken++] = frame;
    }
    if (taken == 0) {
      return null;
    }
    FillRun run = new FillRun(this, purpose, admitted, stream, first, Arrays.copyOf(frames, taken));
    for (BlockFetch fetch : run.fetches()) {
      underWay.put(fetch.block(), fetch);
    }
    if (purpose == Purpose.DEMAND) {
      demandCount += taken;
    } else {
      aheadCount += taken;
    }
    return run;
  }

  void submit(FillRun run) {
    run.submit(lane.target(), lane.tier());
  }

  /// A block has come, or will not.
  void ended(
      BlockFetch fetch, @Nullable IoError error, @Nullable Throwable cause, TargetRange asked) {
    if (underWay.get(fetch.block()) == fetch) {
      underWay.remove(fetch.block());
    }
    if (fetch.run().purpose() == Purpose.DEMAND) {
      demandCount--;
    } else {
      aheadCount--;
    }
    if (error == null) {
      fetch.frame().filledWith(fetch.block());
      fetch.arrived();
      if (fetch.missed() && lane.tier() != null) {
        lane.tier().offer(fetch.block(), fetch.frame(), map().lengthOf(fetch.block()));
      }
      keep(fetch);
    } else {
      failed(fetch.run());
    }
    fetch.frame().release();
    fetch.tell(this, error, cause, asked);
  }

  private void failed(FillRun run) {
    if (run.purpose() == Purpose.WARM_UP) {
      failedWarmUps++;
    }
    ReadStream stream = run.stream();
    if (stream != null) {
      stream.wasted();
    }
  }

  /// Puts a block that has come where it belongs.
  private void keep(BlockFetch fetch) {
    FillRun run = fetch.run();
    if (run.purpose() == Purpose.AHEAD && !fetch.wanted()) {
      hold(fetch, false);
      return;
    }
    if (run.purpose() == Purpose.AHEAD) {
      counters().add(Count.AHEAD_USED, 1);
    }
    if (!run.admitted()) {
      counters().add(Count.BYPASSED, 1);
      hold(fetch, true);
    } else if (!cache().land(fetch.block(), fetch.frame(), fetch.generation())) {
      counters().add(Count.STALE_FILLS, 1);
    }
  }

  private void hold(BlockFetch fetch, boolean used) {
    if (aheadRoom() > 0 || passing.makeRoom(fetch.run().stream())) {
      passing.hold(fetch, used);
    } else if (!used) {
      counters().add(Count.AHEAD_WASTED, 1);
    }
  }

  /// Some blocks have ended, and those who waited know.
  void progressed() {
    afterProgress.run();
  }
}
