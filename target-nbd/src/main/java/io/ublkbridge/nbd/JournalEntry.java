package io.ublkbridge.nbd;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/// One modification of the disk, from when it is sent until a FLUSH made it durable: what it takes
/// to do it again. Reused by its [QueueJournal]; confined to the queue's event loop.
final class JournalEntry {
  private int type;
  private int flags;
  private long offsetBytes;
  private long lengthBytes;
  private @Nullable SendBuffer buffer;
  private int payloadAt;
  private long sequence;

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
    sent.keep();
  }

  /// Lets go of the payload.
  void end() {
    SendBuffer held = buffer;
    if (held != null) {
      held.letGo();
      buffer = null;
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
    SendBuffer held = buffer;
    return held == null ? MemorySegment.NULL : held.memory().asSlice(payloadAt + at, length);
  }
}
