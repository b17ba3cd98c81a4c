package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.BigEndian.INT;
import static io.ublkbridge.nbd.BigEndian.LONG;

import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.ublkbridge.target.BlockRequest;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// The client's half of the transmission phase: gathers requests in one buffer until they are
/// flushed together (spec: "Compact request message", "Extended request message").
///
/// ```
/// compact:  magic 4 | flags 2 | type 2 | cookie 8 | offset 8 | length 4 | payload of a WRITE
/// extended: magic 4 | flags 2 | type 2 | cookie 8 | offset 8 | length 8 | payload of a WRITE
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

  private final Channel channel;
  private final boolean extended;
  private final int headerBytes;
  private final long magic;

  /// Flags of every WRITE: an extended header must say that payload follows.
  private final int writeFlags;

  private final List<SendBuffer> kept = new ArrayList<>(BUFFERS_KEPT_MAX);

  /// The buffer that requests are added to; null if there is none to flush.
  private @Nullable SendBuffer gathering;

  /// Whether Netty holds buffers that it was not told to send yet.
  private boolean unflushed;

  RequestEncoder(Channel channel, HeaderForm headers) {
    this.channel = channel;
    extended = headers.extendedHeaders();
    headerBytes = extended ? NbdProtocol.EXTENDED_REQUEST_BYTES : NbdProtocol.REQUEST_BYTES;
    magic =
        (long) (extended ? NbdProtocol.NBD_EXTENDED_REQUEST_MAGIC : NbdProtocol.NBD_REQUEST_MAGIC)
            << 32;
    writeFlags = extended ? NbdProtocol.NBD_CMD_FLAG_PAYLOAD_LEN : 0;
  }

  /// Adds a request without payload.
  ///
  /// @param flags command flags
  /// @param length less than 2^32 unless the headers are extended
  void add(int flags, int type, long cookie, long offset, long length) {
    SendBuffer buffer = room(headerBytes);
    header(buffer.memory(), buffer.end(), flags, type, cookie, offset, length);
    buffer.advance(headerBytes);
  }

  /// Adds a WRITE with its payload.
  ///
  /// @throws io.ublkbridge.target.PayloadException from the request; nothing was added then
  void addWrite(int flags, long cookie, BlockRequest request) {
    int length = (int) request.lengthBytes();
    if (length > BUFFER_BYTES - headerBytes) {
      addLongWrite(flags, cookie, request);
      return;
    }
    SendBuffer buffer = room(headerBytes + length);
    int at = buffer.end();
    request.loadPayload(0, buffer.memory().asSlice(at + headerBytes, length));
    header(
        buffer.memory(),
        at,
        flags | writeFlags,
        NbdProtocol.NBD_CMD_WRITE,
        cookie,
        request.offsetBytes(),
        length);
    buffer.advance(headerBytes + length);
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
    add(flags | writeFlags, NbdProtocol.NBD_CMD_WRITE, cookie, request.offsetBytes(), length);
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

  private void header(
      MemorySegment memory, int at, int flags, int type, long cookie, long offset, long length) {
    memory.set(LONG, at, magic | (long) flags << 16 | type);
    memory.set(LONG, at + 8, cookie);
    memory.set(LONG, at + 16, offset);
    if (extended) {
      memory.set(LONG, at + 24, length);
    } else {
      memory.set(INT, at + 24, (int) length);
    }
  }
}
