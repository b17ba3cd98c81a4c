package io.ublkbridge.cache;

import io.ublkbridge.target.IoError;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// One block on its way into a frame, and the READs that wait for it. Confined to the queue's event
/// loop.
final class BlockFetch implements BlockTier.Answer {
  private final FillRun run;
  private final long block;
  private final BlockBuffer frame;
  private final long generation;
  private final List<ReadInProgress> waiting = new ArrayList<>(1);
  private boolean missed;

  BlockFetch(FillRun run, long block, BlockBuffer frame, long generation) {
    this.run = run;
    this.block = block;
    this.frame = frame;
    this.generation = generation;
  }

  long block() {
    return block;
  }

  /// Belongs to the fetch until it ends.
  BlockBuffer frame() {
    return frame;
  }

  /// The block's generation when the fetch began.
  long generation() {
    return generation;
  }

  FillRun run() {
    return run;
  }

  boolean wanted() {
    return !waiting.isEmpty();
  }

  /// Whether the tier does not have it.
  boolean missed() {
    return missed;
  }

  void join(ReadInProgress read) {
    waiting.add(read);
    read.await();
  }

  @Override
  public void hit() {
    run.tierAnswered(this, true);
  }

  @Override
  public void miss() {
    missed = true;
    run.tierAnswered(this, false);
  }

  /// Gives the block to those who wait for it.
  void arrived() {
    for (ReadInProgress read : waiting) {
      read.store(block, frame.memory());
    }
  }

  /// Tells those who wait for it.
  ///
  /// @param error null if it has arrived
  void tell(Fills fills, @Nullable IoError error, @Nullable Throwable cause, TargetRange asked) {
    for (ReadInProgress read : waiting) {
      if (error == null) {
        read.arrived(fills.target());
      } else {
        read.missed(error, cause, !asked.isOf(read.request()), fills.target());
      }
    }
  }
}
