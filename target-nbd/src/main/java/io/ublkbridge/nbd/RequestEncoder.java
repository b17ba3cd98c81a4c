package io.ublkbridge.nbd;

import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.ublkbridge.target.BlockRequest;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// The client's half of the transmission phase: gathers requests in one buffer until they are
/// flushed together (spec: "Compact request message").
///
/// ```
/// magic 4 | flags 2 | type 2 | cookie 8 | offset 8 | length 4 | payload of a WRITE
/// ```
///
/// Payload is loaded once, into the memory that it is sent from: behind its header, or in a buffer
/// of its own when it is longer than [#BUFFER_BYTES] leaves room for. A request is either encoded
/// as a whole or not at all: if its payload cannot be loaded, nothing of it is sent.
///
/// A few buffers are kept and used in turn. Confined to the channel's event loop.
@SuppressWarnings("FutureReturnValueIgnored") // A failed write or close ends in exceptionCaught.
final class RequestEncoder {
  static final int BUFFER_BYTES = 64 << 10;
  private static final int BUFFERS_KEPT_MAX = 8;

  private static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);
  private static final ValueLayout.OfLong LONG =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);
  private static final long MAGIC = (long) NbdProtocol.NBD_REQUEST_MAGIC << 32;

  private final Channel channel;
  private final List<SendBuffer> kept = new ArrayList<>(BUFFERS_KEPT_MAX);

  /// The buffer that requests are added to; null if there is none to flush.
  private @Nullable SendBuffer gathering;

  /// Whether Netty holds buffers that it was not told to send yet.
  private boolean unflushed;

  RequestEncoder(Channel channel) {
    this.channel = channel;
  }

  /// Adds a request without payload.
  ///
  /// @param flags command flags
  /// @param length unsigned 32 bit
  void add(int flags, int type, long cookie, long offset, int length) {
    SendBuffer buffer = room(NbdProtocol.REQUEST_BYTES);
    header(buffer.memory(), buffer.end(), flags, type, cookie, offset, length);
    buffer.advance(NbdProtocol.REQUEST_BYTES);
  }

  /// Adds a WRITE with its payload.
  ///
  /// @throws io.ublkbridge.target.PayloadException from the request; nothing was added then
  void addWrite(int flags, long cookie, BlockRequest request) {
    int length = (int) request.lengthBytes();
    if (length > BUFFER_BYTES - NbdProtocol.REQUEST_BYTES) {
      addLongWrite(flags, cookie, request);
      return;
    }
    SendBuffer buffer = room(NbdProtocol.REQUEST_BYTES + length);
    int at = buffer.end();
    request.loadPayload(0, buffer.memory().asSlice(at + NbdProtocol.REQUEST_BYTES, length));
    header(
        buffer.memory(),
        at,
        flags,
        NbdProtocol.NBD_CMD_WRITE,
        cookie,
        request.offsetBytes(),
        length);
    buffer.advance(NbdProtocol.REQUEST_BYTES + length);
  }

  private void addLongWrite(int flags, long cookie, BlockRequest request) {
    int length = (int) request.lengthBytes();
    ByteBuf payload = channel.alloc().directBuffer(length, length);
    boolean loaded = false;
    try {
      request.loadPayload(0, MemorySegment.ofBuffer(payload.nioBuffer(0, length)));
      loaded = true;
    } finally {
      if (!loaded) {
        payload.release();
      }
    }
    add(flags, NbdProtocol.NBD_CMD_WRITE, cookie, request.offsetBytes(), length);
    handOver();
    channel.write(payload.writerIndex(length), channel.voidPromise());
    unflushed = true;
  }

  /// Sends everything that was added.
  void flush() {
    handOver();
    if (unflushed) {
      unflushed = false;
      channel.flush();
    }
  }

  /// Frees the buffers; those that are being sent live until they are.
  void close() {
    SendBuffer unsent = gathering;
    gathering = null;
    if (unsent != null && !kept.contains(unsent)) {
      unsent.release();
    }
    kept.forEach(SendBuffer::release);
    kept.clear();
  }

  private void handOver() {
    SendBuffer full = gathering;
    if (full != null && !full.isEmpty()) {
      gathering = null;
      channel.write(full.share(), channel.voidPromise());
      unflushed = true;
      if (!kept.contains(full)) {
        full.release();
      }
    }
  }

  private SendBuffer room(int bytes) {
    SendBuffer current = gathering;
    if (current != null) {
      if (current.writableBytes() >= bytes) {
        return current;
      }
      handOver();
    }
    SendBuffer fresh = idleBuffer();
    gathering = fresh;
    return fresh;
  }

  private SendBuffer idleBuffer() {
    for (int i = 0; i < kept.size(); i++) {
      SendBuffer candidate = kept.get(i);
      if (candidate.isIdle()) {
        candidate.clear();
        return candidate;
      }
    }
    SendBuffer fresh = new SendBuffer(channel.alloc().directBuffer(BUFFER_BYTES, BUFFER_BYTES));
    if (kept.size() < BUFFERS_KEPT_MAX) {
      kept.add(fresh);
    }
    return fresh;
  }

  private static void header(
      MemorySegment memory, int at, int flags, int type, long cookie, long offset, int length) {
    memory.set(LONG, at, MAGIC | (long) flags << 16 | type);
    memory.set(LONG, at + 8, cookie);
    memory.set(LONG, at + 16, offset);
    memory.set(INT, at + 24, length);
  }
}
