package io.ublkbridge.nbd;

import io.netty.buffer.ByteBufAllocator;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;

/// The send buffers of one queue: those being filled, those still needed by Netty or by the write
/// journal, and a few for use. Confined to the queue's event loop.
final class SendBuffers {
  /// Small requests share a buffer of this size; a longer one gets its own.
  static final int BUFFER_BYTES = 1 << 20;

  private static final int SPARE_MAX = 4;

  private final ByteBufAllocator allocator;
  private final int bufferBytes;
  private final List<SendBuffer> buffers = new ArrayList<>();
  private long bytes;

  SendBuffers(ByteBufAllocator allocator) {
    this(allocator, BUFFER_BYTES);
  }

  /// @param bufferBytes the size of a buffer that small requests share
  SendBuffers(ByteBufAllocator allocator, int bufferBytes) {
    this.allocator = allocator;
    this.bufferBytes = bufferBytes;
  }

  /// A buffer with room for `needed` bytes, the caller's until [#giveBack].
  SendBuffer take(int needed) {
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
    found.clear();
    found.taken(true);
    return found;
  }

  void giveBack(SendBuffer buffer) {
    buffer.taken(false);
  }

  /// How much memory there is, used or not.
  long bytes() {
    return bytes;
  }

  /// How much memory is needed by somebody.
  long usedBytes() {
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
