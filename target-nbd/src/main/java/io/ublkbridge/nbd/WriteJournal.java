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
  private final AtomicLong flushed = new AtomicLong();
  private final AtomicBoolean lossUnreported = new AtomicBoolean();

  /// @param bytesMax how much memory one queue's payloads may take
  WriteJournal(Mode mode, long bytesMax) {
    this.mode = mode;
    this.bytesMax = bytesMax;
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
    flushed.accumulateAndGet(mark, Math::max);
  }

  /// Acknowledged writes up to this number are durable.
  long flushedThrough() {
    return flushed.get();
  }

  boolean hasUnflushed() {
    return mode != Mode.NONE && flushed.get() < acknowledged.get();
  }

  /// Acknowledged writes are lost for good: whoever flushes next must hear of it.
  void lost() {
    lossUnreported.set(true);
    flushed(mark());
  }

  /// Whether a FLUSH must fail now because of a loss that nobody was told of; once for each loss.
  boolean takeLoss() {
    return lossUnreported.get() && lossUnreported.getAndSet(false);
  }
}
