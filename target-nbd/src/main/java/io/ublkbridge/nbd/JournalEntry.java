package io.ublkbridge.nbd;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/// One modification of the disk, from when it is sent until a FLUSH made it durable: what it takes
/// to do it again. Reused by its [QueueJournal]; confined to the queue's event loop.
final class JournalEntry {
  private final int index;
  private int type;
  private int flags;
  private long offsetBytes;
  private long lengthBytes;
  private @Nullable SendBuffer buffer;
  private int payloadAt;
  private MemorySegment payload = MemorySegment.NULL;
  private long sequence;

  /// @param index its place in its queue's table
  JournalEntry(int index) {
    this.index = index;
  }

  /// One that another process has left behind.
  ///
  /// @param payload of a WRITE; readable as long as this lives
  static JournalEntry inherited(
      long sequence, int type, int flags, long offset, long length, MemorySegment payload) {
    JournalEntry entry = new JournalEntry(0);
    entry.begin(type, flags, offset, length);
    entry.payload = payload;
    entry.acknowledged(sequence);
    return entry;
  }

  int index() {
    return index;
  }

  void begin(int commandType, int commandFlags, long offset, long length) {
    type = commandType;
    flags = commandFlags;
    offsetBytes = offset;
    lengthBytes = length;
    sequence = 0;
  }

  /// Notes where the payload of a WRITE is, and keeps it there.
  void payloadIn(SendBuffer sent, int at) {
    buffer = sent;
    payloadAt = at;
    payload = sent.memory();
    sent.keep();
  }

  /// Lets go of the payload.
  void end() {
    SendBuffer held = buffer;
    if (held != null) {
      held.letGo();
      buffer = null;
      payload = MemorySegment.NULL;
    }
  }

  void acknowledged(long number) {
    sequence = number;
  }

  /// Its place in the order in which the server acknowledged; 0 before that.
  long sequence() {
    return sequence;
  }

  int type() {
    return type;
  }

  int flags() {
    return flags;
  }

  long offsetBytes() {
    return offsetBytes;
  }

  long lengthBytes() {
    return lengthBytes;
  }

  /// The payload from byte `at` of this, or an empty segment for what has none. Only as long as
  /// this entry lives.
  MemorySegment payload(long at, long length) {
    return payload.byteSize() == 0 ? MemorySegment.NULL : payload.asSlice(payloadAt + at, length);
  }

  /// Where its payload is in the journal's file; 0 for what has none.
  long payloadPosition() {
    SendBuffer held = buffer;
    return held == null ? 0 : held.filePosition() + payloadAt;
  }
}
