package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.BigEndian.INT;
import static io.ublkbridge.nbd.BigEndian.LONG;

import io.netty.channel.Channel;
import io.ublkbridge.target.BlockRequest;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/// The client's half of the transmission phase: gathers requests in one buffer until they are
/// flushed together (spec: "Compact request message", "Extended request message").
///
/// ```
/// compact:  magic 4 | flags 2 | type 2 | cookie 8 | offset 8 | length 4 | payload of a WRITE
/// extended: magic 4 | flags 2 | type 2 | cookie 8 | offset 8 | length 8 | payload of a WRITE
/// ```
///
/// Payload is loaded once, behind its header, into the memory that it is sent from and that the
/// write journal keeps. A request is either encoded as a whole or not at all: if its payload cannot
/// be loaded, nothing of it is sent.
///
/// Confined to the channel's event loop.
@SuppressWarnings("FutureReturnValueIgnored") // A failed write or close ends in exceptionCaught.
final class RequestEncoder {
  private final Channel channel;
  private final SendBuffers buffers;
  private final boolean extended;
  private final int headerBytes;
  private final long magic;

  /// Flags of every WRITE: an extended header must say that payload follows.
  private final int writeFlags;

  /// The buffer that requests are added to.
  private @Nullable SendBuffer gathering;

  /// Whether Netty holds bytes that it was not told to send yet.
  private boolean unflushed;

  /// @param buffers of the queue, which other connections of it use too
  RequestEncoder(Channel channel, SendBuffers buffers, HeaderForm headers) {
    this.channel = channel;
    this.buffers = buffers;
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
    SendBuffer buffer = room(headerBytes, false);
    header(buffer.memory(), buffer.end(), flags, type, cookie, offset, length);
    buffer.advance(headerBytes);
  }

  /// Adds a WRITE with its payload.
  ///
  /// @param entry told where the payload is, if it is to be kept
  /// @throws io.ublkbridge.target.PayloadException from the request; nothing was added then
  void addWrite(int flags, long cookie, BlockRequest request, @Nullable JournalEntry entry) {
    int length = (int) request.lengthBytes();
    SendBuffer buffer = room(headerBytes + length, entry != null);
    int at = buffer.end();
    int payloadAt = at + headerBytes;
    request.loadPayload(0, buffer.memory().asSlice(payloadAt, length));
    header(
        buffer.memory(),
        at,
        flags | writeFlags,
        NbdProtocol.NBD_CMD_WRITE,
        cookie,
        request.offsetBytes(),
        length);
    buffer.advance(headerBytes + length);
    if (entry != null) {
      entry.payloadIn(buffer, payloadAt);
    }
  }

  /// Sends everything that was added.
  void flush() {
    handOver();
    if (unflushed) {
      unflushed = false;
      channel.flush();
    }
  }

  /// Lets go of the buffers; what is being sent lives until it is sent.
  void close() {
    SendBuffer current = gathering;
    gathering = null;
    if (current != null) {
      current.forgetUnshared();
      buffers.giveBack(current);
    }
  }

  private void handOver() {
    SendBuffer current = gathering;
    if (current != null && current.hasUnshared()) {
      channel.write(current.share(), channel.voidPromise());
      unflushed = true;
    }
  }

  /// @param lasting whether it must be part of the journal's file, if there is one
  private SendBuffer room(int bytes, boolean lasting) {
    SendBuffer current = gathering;
    if (current != null) {
      if (current.hasRoom(bytes) && (!lasting || buffers.lasts(current))) {
        return current;
      }
      handOver();
      buffers.giveBack(current);
    }
    SendBuffer fresh = buffers.take(bytes, lasting);
    gathering = fresh;
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
