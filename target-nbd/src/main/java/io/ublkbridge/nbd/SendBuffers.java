package io.ublkbridge.nbd;

import io.netty.buffer.ByteBufAllocator;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// The send buffers of one queue: those being filled, those still needed by Netty or by the write
/// journal, and a few for use.
///
/// Where the journal has a file they are its slots ([JournalPart]); others are made only for what
/// need not last, when no slot is free. Confined to the queue's event loop.
final class SendBuffers {
  /// Small requests share a buffer of this size; a longer one gets its own.
  static final int BUFFER_BYTES = 1 << 20;

  private static final int SPARE_MAX = 4;

  private final ByteBufAllocator allocator;
  private final int bufferBytes;
  private final @Nullable JournalPart part;
  private final List<SendBuffer> buffers = new ArrayList<>();
  private long bytes;

  SendBuffers(ByteBufAllocator allocator) {
    this(allocator, BUFFER_BYTES);
  }

  /// @param bufferBytes the size of a buffer that small requests share
  SendBuffers(ByteBufAllocator allocator, int bufferBytes) {
    this(allocator, bufferBytes, null);
  }

  /// @param part of the journal's file, if it has one
  SendBuffers(ByteBufAllocator allocator, int bufferBytes, @Nullable JournalPart part) {
    this.allocator = allocator;
    this.bufferBytes = bufferBytes;
    this.part = part;
  }

  /// The part of the journal's file that these are slots of, where each entry is written down too;
  /// null if it has none.
  @Nullable JournalPart part() {
    return part;
  }

  /// A buffer with room for `needed` bytes, the caller's until [#giveBack].
  ///
  /// @param lasting whether it must be part of the journal's file, if there is one; then
  ///   [#hasLasting] was asked before
  SendBuffer take(int needed, boolean lasting) {
    SendBuffer slot = part == null ? null : part.take(needed);
    if (slot == null && lasting && part != null) {
      throw new IllegalStateException("the journal has no slot for " + needed + " bytes");
    }
    SendBuffer found = slot == null ? passing(needed) : slot;
    found.clear();
    found.taken(true);
    return found;
  }

  /// Whether a buffer is as lasting as they can be here.
  boolean lasts(SendBuffer buffer) {
    return part == null || buffer.isLasting();
  }

  /// Whether there is a free buffer for one more write that must be kept.
  boolean hasLasting() {
    return part == null || part.hasFree();
  }

  private SendBuffer passing(int needed) {
    SendBuffer found = null;
    int spare = 0;
    for (Iterator<SendBuffer> all = buffers.iterator(); all.hasNext(); ) {
      SendBuffer buffer = all.next();
      if (buffer.isTaken() || !buffer.isUnused()) {
        continue;
      }
      if (found == null && buffer.capacity() >= needed) {
        found = buffer;
      } else if (++spare > SPARE_MAX) {
        all.remove();
        free(buffer);
      }
    }
    if (found == null) {
      int capacity = Math.max(bufferBytes, needed);
      found = new SendBuffer(allocator.directBuffer(capacity, capacity));
      buffers.add(found);
      bytes += capacity;
    }
    return found;
  }

  void giveBack(SendBuffer buffer) {
    buffer.taken(false);
  }

  /// Gives memory back that was not needed for a while. To be called now and then.
  void giveBackSpare() {
    if (part != null) {
      part.giveBackSpare();
    }
  }

  /// How much memory the journal may use of so much.
  long atMost(long wanted) {
    return part == null ? wanted : part.atMost(wanted);
  }

  /// How much memory there is for what is kept, used or not.
  long bytes() {
    return part == null ? bytes : part.bytes();
  }

  /// How much of it is needed by somebody.
  long usedBytes() {
    if (part != null) {
      return part.usedBytes();
    }
    long used = 0;
    for (SendBuffer buffer : buffers) {
      used += buffer.isUnused() ? 0 : buffer.capacity();
    }
    return used;
  }

  private void free(SendBuffer buffer) {
    bytes -= buffer.capacity();
    buffer.release();
  }

  /// Frees everything; what Netty still sends lives until it is sent.
  void close() {
    buffers.forEach(this::free);
    buffers.clear();
  }
}
