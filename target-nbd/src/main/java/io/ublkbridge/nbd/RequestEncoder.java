package io.ublkbridge.nbd;

import io.netty.channel.Channel;
import io.ublkbridge.target.BlockRequest;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import org.jspecify.annotations.Nullable;

/// The client's half of the transmission phase: gathers requests in one buffer until they are
/// flushed together (spec: "Compact request message").
///
/// ```
/// magic 4 | flags 2 | type 2 | cookie 8 | offset 8 | length 4 | payload of a WRITE
/// ```
///
/// Payload is loaded once, behind its header, into the memory that it is sent from and that the
/// write journal keeps. A request is either encoded as a whole or not at all: if its payload cannot
/// be loaded, nothing of it is sent.
///
/// Confined to the channel's event loop.
@SuppressWarnings("FutureReturnValueIgnored") // A failed write or close ends in exceptionCaught.
final class RequestEncoder {
  private static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);
  private static final ValueLayout.OfLong LONG =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);
  private static final long MAGIC = (long) NbdProtocol.NBD_REQUEST_MAGIC << 32;

  private final Channel channel;
  private final SendBuffers buffers;

  /// The buffer that requests are added to.
  private @Nullable SendBuffer gathering;

  /// Whether Netty holds bytes that it was not told to send yet.
  private boolean unflushed;

  /// @param buffers of the queue, which other connections of it use too
  RequestEncoder(Channel channel, SendBuffers buffers) {
    this.channel = channel;
    this.buffers = buffers;
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
  /// @param entry told where the payload is, if it is to be kept
  /// @throws io.ublkbridge.target.PayloadException from the request; nothing was added then
  void addWrite(int flags, long cookie, BlockRequest request, @Nullable JournalEntry entry) {
    int length = (int) request.lengthBytes();
    SendBuffer buffer = room(NbdProtocol.REQUEST_BYTES + length);
    int at = buffer.end();
    int payloadAt = at + NbdProtocol.REQUEST_BYTES;
    request.loadPayload(0, buffer.memory().asSlice(payloadAt, length));
    header(
        buffer.memory(),
        at,
        flags,
        NbdProtocol.NBD_CMD_WRITE,
        cookie,
        request.offsetBytes(),
        length);
    buffer.advance(NbdProtocol.REQUEST_BYTES + length);
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

  private SendBuffer room(int bytes) {
    SendBuffer current = gathering;
    if (current != null) {
      if (current.hasRoom(bytes)) {
        return current;
      }
      handOver();
      buffers.giveBack(current);
    }
    SendBuffer fresh = buffers.take(bytes);
    gathering = fresh;
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
