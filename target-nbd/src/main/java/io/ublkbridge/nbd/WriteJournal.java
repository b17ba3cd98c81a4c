package io.ublkbridge.nbd;

import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;

/// What all queues of a target know about writes that the server has acknowledged but may still
/// lose, because no FLUSH followed.
///
/// Acknowledgements are numbered across queues. A FLUSH covers those that came before it was sent,
/// so a mark taken then says afterwards what is durable. The payloads themselves are with the
/// queues, see [QueueJournal]: each acknowledges, and forgets, on its own event loop.
///
/// All methods may be called from every thread.
final class WriteJournal {
  /// What is remembered of an acknowledged write.
  enum Mode {
    /// All that it takes to write it again.
    KEEP,
    /// Only that it is there: after a loss the next FLUSH fails.
    COUNT,
    /// Nothing: the server has no FLUSH, or nothing is written.
    NONE
  }

  private final Mode mode;
  private final long bytesMax;
  private final AtomicLong acknowledged = new AtomicLong();

  /// Set before there are queues.
  private JournalMarks marks = JournalMarks.passing();

  private final AtomicBoolean lossUnreported = new AtomicBoolean();
  private volatile String loss = "writes were lost with the server";

  /// @param bytesMax how much memory one queue's payloads may take
  WriteJournal(Mode mode, long bytesMax) {
    this.mode = mode;
    this.bytesMax = bytesMax;
  }

  /// Has a file say what is durable. To be called before there are queues.
  void keepMarksIn(JournalMarks lasting) {
    marks = lasting;
  }

  /// Numbers what comes from now on behind what another process has acknowledged. To be called
  /// before there are queues.
  void continueFrom(long number) {
    acknowledged.set(number);
  }

  Mode mode() {
    return mode;
  }

  long bytesMax() {
    return bytesMax;
  }

  /// Numbers one more acknowledged write.
  long acknowledge() {
    return acknowledged.incrementAndGet();
  }

  /// The number of the latest acknowledged write: what a FLUSH sent from now on covers.
  long mark() {
    return acknowledged.get();
  }

  /// A FLUSH that was sent at `mark` has succeeded.
  void flushed(long mark) {
    marks.flushed(mark);
    if (!lossUnreported.get() && marks.lossUnreported()) {
      // Later than it was said, so that a process which ends in between does not keep it to itself.
      marks.lossReported();
    }
  }

  /// Acknowledged writes up to this number are durable.
  long flushedThrough() {
    return marks.flushedThrough();
  }

  boolean hasUnflushed() {
    return mode != Mode.NONE && marks.flushedThrough() < acknowledged.get();
  }

  /// Acknowledged writes are lost for good: whoever flushes next must hear of it.
  void lost() {
    // In this order: what is neither durable nor lost would be done again.
    lossUnreported.set(true);
    marks.lost();
    flushed(mark());
  }

  /// The same of those that another process has acknowledged.
  ///
  /// @param why for whoever flushes
  void lost(String why) {
    loss = why;
    lost();
  }

  /// What became of writes that are lost.
  String loss() {
    return loss;
  }

  /// Whether a FLUSH must fail now because of a loss that nobody was told of; once for each loss.
  boolean takeLoss() {
    return lossUnreported.get() && lossUnreported.getAndSet(false);
  }
}
