package io.ublkbridge.loop;

import org.jspecify.annotations.Nullable;

/// Makes writes durable for everybody who waits for that: one `fdatasync` at a time.
///
/// Confined to the queue's event loop. Whoever comes while one is under way waits for the next,
/// because the kernel may have looked at the pages already.
///
/// **One failure is for ever.** Linux reports a failed write-back once, to one `fdatasync`, and
/// then takes the pages for clean: the next `fdatasync` would succeed though the bytes are lost.
/// For the same reason there is never a second one under way, which could be told success while the
/// first is told of the loss, and it has a file description of its own, so that no durable write is
/// told instead (`errseq_t`, Documentation/core-api/errseq.rst in the kernel).
final class SyncGroup {
  private final FileIo io;
  private final LoopSlot sync;
  private @Nullable LoopSlot waiting;
  private @Nullable LoopSlot running;
  private int failedErrno;

  /// @param sync a slot that no request uses
  SyncGroup(FileIo io, LoopSlot sync) {
    this.io = io;
    this.sync = sync;
    sync.enter(LoopStage.SYNC);
  }

  /// Puts a slot behind the next `fdatasync`, and starts it if none is under way.
  void add(LoopSlot slot) {
    slot.next = waiting;
    waiting = slot;
    if (running == null) {
      start();
    }
  }

  /// Tries again after an interruption.
  void restart() {
    io.start(sync);
  }

  /// The first of those who waited for the one that ended, linked by `next`. The following one is
  /// under way when this returns, if anybody waits.
  ///
  /// @param errno positive, or 0 for success
  @Nullable LoopSlot finish(int errno) {
    if (failedErrno == 0) {
      failedErrno = errno;
    }
    LoopSlot done = running;
    running = null;
    if (waiting != null) {
      start();
    }
    return done;
  }

  /// The error number of the first `fdatasync` that failed, or 0.
  int failedErrno() {
    return failedErrno;
  }

  private void start() {
    running = waiting;
    waiting = null;
    sync.enter(LoopStage.SYNC);
    io.start(sync);
  }
}
