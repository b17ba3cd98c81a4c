package io.ublkbridge.cache;

import io.ublkbridge.target.InternalRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import io.ublkbridge.target.TargetQueue;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/// Neighbouring blocks that are fetched together. Confined to the queue's event loop.
///
/// The tier is asked for each block; of what it does not have, neighbours become one READ of the
/// target. Each of those READs ends its own blocks.
final class FillRun {
  /// Why blocks are fetched.
  enum Purpose {
    /// A request waits for them.
    DEMAND,
    /// A request is expected to want them soon.
    AHEAD,
    /// The list of another run names them.
    WARM_UP
  }

  private final Fills fills;
  private final Purpose purpose;
  private final boolean admitted;
  private final @Nullable ReadStream stream;
  private final BlockFetch[] fetches;
  private int tierAnswersLeft;

  /// Takes the frames over.
  ///
  /// @param admitted whether the blocks may enter the cache
  /// @param stream that they are read ahead for
  FillRun(
      Fills fills,
      Purpose purpose,
      boolean admitted,
      @Nullable ReadStream stream,
      long first,
      BlockBuffer[] frames) {
    this.fills = fills;
    this.purpose = purpose;
    this.admitted = admitted;
    this.stream = stream;
    this.fetches = new BlockFetch[frames.length];
    for (int i = 0; i < frames.length; i++) {
      long block = first + i;
      fetches[i] = new BlockFetch(this, block, frames[i], fills.cache().generation(block));
    }
  }

  Purpose purpose() {
    return purpose;
  }

  boolean admitted() {
    return admitted;
  }

  @Nullable ReadStream stream() {
    return stream;
  }

  BlockFetch[] fetches() {
    return fetches;
  }

  /// Starts to fetch; whoever waits for a block has joined it.
  void submit(TargetQueue target, BlockTier.@Nullable Lane tier) {
    if (tier == null) {
      readFromTarget(target, 0, fetches.length);
      return;
    }
    // One answer more than there are, so that those given at once do not end the asking.
    tierAnswersLeft = fetches.length + 1;
    for (BlockFetch fetch : fetches) {
      MemorySegment into = fetch.frame().memory().asSlice(0, fills.map().lengthOf(fetch.block()));
      tier.read(fetch.block(), into, fetch);
    }
    tierAnswered();
  }

  void tierAnswered(BlockFetch fetch, boolean hit) {
    fills.counters().add(hit ? CacheCounters.Count.TIER_HITS : CacheCounters.Count.TIER_MISSES, 1);
    if (hit) {
      TargetRange alone =
          new TargetRange(fills.map().startOf(fetch.block()), fills.map().lengthOf(fetch.block()));
      fills.ended(fetch, null, null, alone);
    }
    tierAnswered();
  }

  private void tierAnswered() {
    if (--tierAnswersLeft > 0) {
      return;
    }
    for (int from = 0; from < fetches.length; from++) {
      int to = from;
      while (to < fetches.length && fetches[to].missed()) {
        to++;
      }
      if (to > from) {
        readFromTarget(fills.target(), from, to);
        from = to;
      }
    }
    fills.progressed();
  }

  private void readFromTarget(TargetQueue target, int from, int to) {
    TargetRead read = new TargetRead(from, to);
    fills.counters().add(CacheCounters.Count.FILLS, 1);
    target.submit(read);
  }

  /// A READ of the target into the frames of some of the blocks.
  private final class TargetRead extends InternalRequest {
    private final int from;
    private final int to;
    private final long offsetBytes;
    private final long lengthBytes;
    private long suppliedBytes;
    private boolean ended;

    TargetRead(int from, int to) {
      super(Operation.READ);
      this.from = from;
      this.to = to;
      this.offsetBytes = fills.map().startOf(fetches[from].block());
      this.lengthBytes = fills.map().endOf(fetches[to - 1].block()) - offsetBytes;
    }

    @Override
    public long offsetBytes() {
      return offsetBytes;
    }

    @Override
    public long lengthBytes() {
      return lengthBytes;
    }

    @Override
    public boolean background() {
      if (purpose == Purpose.DEMAND) {
        return false;
      }
      for (int i = from; i < to; i++) {
        if (fetches[i].wanted()) {
          return false;
        }
      }
      return true;
    }

    @Override
    public void storePayload(long at, MemorySegment piece) {
      long size = piece.byteSize();
      if (ended || at < 0 || at > lengthBytes || size > lengthBytes - at) {
        throw new IllegalArgumentException(
            "bytes " + at + "+" + size + " are outside of " + this + (ended ? ", ended" : ""));
      }
      int blockBytes = fills.map().blockBytes();
      long done = 0;
      while (done < size) {
        long position = at + done;
        long within = position & (blockBytes - 1);
        long length = Math.min(blockBytes - within, size - done);
        int index = from + (int) (position / blockBytes);
        MemorySegment.copy(piece, done, fetches[index].frame().memory(), within, length);
        done += length;
      }
      suppliedBytes += size;
    }

    @Override
    public void complete() {
      if (suppliedBytes < lengthBytes) {
        // The frames still hold what was in them before.
        fail(
            IoError.IO,
            new IllegalStateException(
                "the target gave " + suppliedBytes + " of the " + lengthBytes + " bytes"));
      } else {
        fills.counters().add(CacheCounters.Count.FILL_BYTES, lengthBytes);
        end(null, null);
      }
    }

    @Override
    public void fail(IoError error, @Nullable Throwable cause) {
      fills.counters().add(CacheCounters.Count.FAILED_FILLS, 1);
      end(error, cause);
    }

    private void end(@Nullable IoError error, @Nullable Throwable cause) {
      if (ended) {
        throw new IllegalStateException(this + " ended twice");
      }
      ended = true;
      TargetRange asked = new TargetRange(offsetBytes, lengthBytes);
      for (int i = from; i < to; i++) {
        fills.ended(fetches[i], error, cause, asked);
      }
      fills.progressed();
    }

    @Override
    public String toString() {
      return "fill " + offsetBytes + "+" + lengthBytes;
    }
  }
}
