package io.ublkbridge.nbd;

import io.ublkbridge.target.BlockRequest;
import java.util.ArrayDeque;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// One queue's part of the write journal: its acknowledged, unflushed writes in the order of their
/// numbers, each with its payload where it was sent from.
///
/// Confined to the queue's event loop, except [#unflushedWrites].
final class QueueJournal {
  /// So that modifications without payload are bounded too.
  private static final int ENTRIES_MAX = 1 << 16;

  private final WriteJournal shared;
  private final SendBuffers buffers;
  private final @Nullable JournalPart part;
  private final int entriesMax;
  private final ArrayDeque<JournalEntry> log = new ArrayDeque<>();
  private final ArrayDeque<JournalEntry> free = new ArrayDeque<>();
  private int begun;
  private int made;

  QueueJournal(WriteJournal shared, SendBuffers buffers) {
    this.shared = shared;
    this.buffers = buffers;
    this.part = buffers.part();
    this.entriesMax = part == null ? ENTRIES_MAX : part.entriesMax();
  }

  /// Begins to remember a modification that is about to be sent; there [#hasRoom].
  ///
  /// @return null if no payload is kept
  @Nullable JournalEntry begin(BlockRequest request, int type, int flags) {
    if (shared.mode() != WriteJournal.Mode.KEEP) {
      return null;
    }
    JournalEntry entry = free.isEmpty() ? new JournalEntry(made++) : free.pop();
    entry.begin(type, flags, request.offsetBytes(), request.lengthBytes());
    begun++;
    return entry;
  }

  /// The server acknowledged a modification. To be called before whoever asked for it is told.
  void acknowledged(@Nullable JournalEntry entry) {
    if (shared.mode() == WriteJournal.Mode.NONE) {
      return;
    }
    long sequence = shared.acknowledge();
    if (entry != null) {
      entry.acknowledged(sequence);
      if (part != null) {
        part.write(entry);
      }
      log.add(entry);
    }
  }

  /// A modification failed, or it is not known what became of it.
  void dropped(@Nullable JournalEntry entry) {
    if (entry != null) {
      recycle(entry);
    }
  }

  long mark() {
    return shared.mark();
  }

  /// A FLUSH that was sent at `mark` has succeeded.
  void flushed(long mark) {
    shared.flushed(mark);
    trim();
  }

  /// Forgets what is durable, whichever queue's FLUSH made it so.
  void trim() {
    long durable = shared.flushedThrough();
    JournalEntry oldest = log.peek();
    while (oldest != null && oldest.sequence() <= durable) {
      recycle(log.remove());
      oldest = log.peek();
    }
  }

  private void recycle(JournalEntry entry) {
    entry.end();
    begun--;
    free.push(entry);
  }

  /// Whether one more modification may be sent.
  boolean hasRoom() {
    return shared.mode() != WriteJournal.Mode.KEEP
        || (isBelow(buffers.atMost(shared.bytesMax()), entriesMax) && hasBuffer());
  }

  private boolean hasBuffer() {
    if (buffers.hasLasting()) {
      return true;
    }
    trim();
    return buffers.hasLasting();
  }

  /// Whether there is nothing that a FLUSH would make room of.
  boolean isEmpty() {
    return log.isEmpty();
  }

  /// Whether it is time to flush, lest writes have to wait.
  boolean flushDue() {
    return !log.isEmpty() && !isBelow(buffers.atMost(shared.bytesMax()) / 2, entriesMax / 2);
  }

  private boolean isBelow(long bytes, int entries) {
    if (shared.mode() != WriteJournal.Mode.KEEP) {
      return true;
    }
    if (begun < entries && buffers.bytes() < bytes) {
      return true;
    }
    trim();
    return begun < entries && buffers.usedBytes() < bytes;
  }

  /// What must be done again if the server has lost its cache, oldest first. Stays this journal's.
  List<JournalEntry> unflushed() {
    trim();
    return List.copyOf(log);
  }

  /// Roughly how many acknowledged writes are kept; from every thread.
  int unflushedWrites() {
    return log.size();
  }
}
