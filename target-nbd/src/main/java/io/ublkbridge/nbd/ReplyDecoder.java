package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.BigEndian.INT;
import static io.ublkbridge.nbd.BigEndian.LONG;
import static io.ublkbridge.nbd.BigEndian.SHORT;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_BLOCK_STATUS;
import static io.ublkbridge.nbd.NbdProtocol.NBD_EXTENDED_REPLY_MAGIC;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REPLY_FLAG_DONE;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REPLY_TYPE_BLOCK_STATUS;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REPLY_TYPE_BLOCK_STATUS_EXT;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REPLY_TYPE_ERROR;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REPLY_TYPE_ERROR_OFFSET;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REPLY_TYPE_FLAG_ERROR;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REPLY_TYPE_NONE;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REPLY_TYPE_OFFSET_DATA;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REPLY_TYPE_OFFSET_HOLE;
import static io.ublkbridge.nbd.NbdProtocol.NBD_SIMPLE_REPLY_MAGIC;
import static io.ublkbridge.nbd.NbdProtocol.NBD_STRUCTURED_REPLY_MAGIC;

import io.ublkbridge.target.BlockRequest;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;

/// The server's half of the transmission phase: finds the replies in what was received, hands
/// payload on where it lies, and ends requests (spec: "Simple reply message", "Structured reply
/// chunk message", "Extended reply chunk message").
///
/// ```
/// simple:     magic 4 | error 4          | cookie 8             | data of a READ without error
/// structured: magic 4 | flags 2 | type 2 | cookie 8 | length 4  | payload of `length` bytes
/// extended:   magic 4 | flags 2 | type 2 | cookie 8 | offset 8 | length 8 | payload
/// ```
///
/// Structured replies may be mixed with simple ones, extended ones are all that there is.
///
/// The stream is cut into pieces of known size. A piece that lies in one place is read there; only
/// one that is torn between two receives is put together in a buffer of [#PIECE_BYTES_MAX] bytes.
/// Payload is never put together: its parts go to [BlockRequest#storePayload] as they come.
///
/// No length is believed before it was checked against the request that it belongs to. Confined to
/// one event loop; a request that is ended in here may submit the next one at once.
final class ReplyDecoder {
  /// Simple and structured replies are alike up to here.
  private static final int HEADER_BYTES = 16;

  private static final int EXTENDED_HEADER_BYTES = 32;

  private static final int LENGTH_BYTES = 4;
  private static final int OFFSET_BYTES = 8;
  private static final int HOLE_BYTES = 12;

  /// In front of the descriptors of a status chunk: the context's id, and with extended headers how
  /// many descriptors there are.
  private static final int STATUS_BYTES = 4;

  private static final int EXTENDED_STATUS_BYTES = 8;

  /// Error number and message length.
  private static final int ERROR_BYTES = 6;

  /// How much of an error chunk is looked at; the rest of the message is skipped.
  private static final int PIECE_BYTES_MAX = ERROR_BYTES + 4 * ServerText.LENGTH_MAX;

  /// The longest chunk that carries no data: an error with the longest message that its length
  /// field can tell, and an offset.
  private static final int ERROR_CHUNK_BYTES_MAX = ERROR_BYTES + 0xffff + OFFSET_BYTES;

  /// Stored for holes, piece by piece.
  private static final MemorySegment ZEROES = Arena.global().allocate(64 << 10).asReadOnly();

  /// What the next piece is.
  private enum Step {
    HEADER,
    LENGTH,
    DATA_OFFSET,
    HOLE,
    STATUS,
    DESCRIPTOR,
    ERROR,
    DATA,
    SKIP,
    STOPPED
  }

  /// Takes commands whose replies are complete, and ends them.
  interface CommandEnd {
    void succeeded(PendingCommand command);

    /// The server refused it with `errno`, which is not 0.
    void failed(PendingCommand command, int errno);
  }

  private final CookieTable commands;
  private final CommandEnd end;
  private final ServerErrors errors;
  private final boolean structuredReplies;
  private final boolean extendedHeaders;
  private final int headerBytes;
  private final int statusBytes;
  private final int descriptorBytes;

  private final MemorySegment torn = Arena.ofAuto().allocate(PIECE_BYTES_MAX);
  private int tornBytes;

  private Step step = Step.HEADER;

  /// How long the next piece is: all of it for the fixed ones, what is left for DATA and SKIP.
  private int need;

  /// The request that the current reply belongs to.
  private @Nullable PendingCommand command;

  private int chunkType;
  private boolean chunkDone;
  private int chunkBytes;

  /// Where in the request the next byte of data belongs.
  private int dataAt;

  ReplyDecoder(CookieTable commands, CommandEnd end, ServerErrors errors, HeaderForm headers) {
    this.commands = commands;
    this.end = end;
    this.errors = errors;
    structuredReplies = headers.structuredReplies();
    extendedHeaders = headers.extendedHeaders();
    headerBytes = extendedHeaders ? EXTENDED_HEADER_BYTES : HEADER_BYTES;
    statusBytes = extendedHeaders ? EXTENDED_STATUS_BYTES : STATUS_BYTES;
    descriptorBytes = extendedHeaders ? 2 * Long.BYTES : 2 * Integer.BYTES;
    need = headerBytes;
  }

  /// Takes nothing more, even of what is being decoded.
  void stop() {
    step = Step.STOPPED;
  }

  /// Decodes bytes `at` to `end` of `from`.
  ///
  /// @param from must not be written to until this returns; nothing keeps it
  void decode(MemorySegment from, int at, int end) throws ProtocolViolation {
    while (at < end && step != Step.STOPPED) {
      int available = end - at;
      if (step == Step.DATA) {
        int bytes = Math.min(need, available);
        data(from.asSlice(at, bytes), bytes);
        at += bytes;
      } else if (step == Step.SKIP) {
        int bytes = Math.min(need, available);
        need -= bytes;
        at += bytes;
        if (need == 0) {
          endChunk(current());
        }
      } else if (tornBytes == 0 && available >= need) {
        int start = at;
        at += need;
        piece(from, start);
      } else {
        int bytes = Math.min(need - tornBytes, available);
        MemorySegment.copy(from, at, torn, tornBytes, bytes);
        tornBytes += bytes;
        at += bytes;
        if (tornBytes == need) {
          tornBytes = 0;
          piece(torn, 0);
        }
      }
    }
  }

  private void piece(MemorySegment from, int at) throws ProtocolViolation {
    switch (step) {
      case HEADER -> {
        if (extendedHeaders) {
          extendedHeader(from, at);
        } else {
          header(from, at);
        }
      }
      case LENGTH -> chunkLength(from.get(INT, at));
      case DATA_OFFSET -> dataChunk(from.get(LONG, at));
      case HOLE -> holeChunk(from.get(LONG, at), from.get(INT, at + OFFSET_BYTES));
      case STATUS -> statusChunk(from, at);
      case DESCRIPTOR -> descriptor(from, at);
      case ERROR -> errorChunk(from, at);
      case DATA, SKIP, STOPPED -> throw new IllegalStateException("no piece in " + step);
    }
  }

  private void next(Step nextStep, int bytes) {
    step = nextStep;
    need = bytes;
  }

  private PendingCommand current() {
    PendingCommand current = command;
    if (current == null) {
      throw new IllegalStateException("no reply is being decoded");
    }
    return current;
  }

  private void header(MemorySegment from, int at) throws ProtocolViolation {
    int magic = from.get(INT, at);
    long cookie = from.get(LONG, at + 8);
    boolean structured = magic == NBD_STRUCTURED_REPLY_MAGIC;
    if (!structured && magic != NBD_SIMPLE_REPLY_MAGIC) {
      throw wrongMagic(magic);
    }
    PendingCommand found = find(cookie);
    if (!structured) {
      simpleReply(found, from.get(INT, at + 4));
    } else if (structuredReplies) {
      chunk(from.get(INT, at + 4));
      next(Step.LENGTH, LENGTH_BYTES);
    } else {
      throw new ProtocolViolation("sent a structured reply, which was not agreed on");
    }
  }

  private void extendedHeader(MemorySegment from, int at) throws ProtocolViolation {
    int magic = from.get(INT, at);
    if (magic != NBD_EXTENDED_REPLY_MAGIC) {
      throw wrongMagic(magic);
    }
    PendingCommand found = find(from.get(LONG, at + 8));
    if (from.get(LONG, at + 16) != found.offsetBytes()) {
      throw new ProtocolViolation("sent a reply whose offset is not that of its request");
    }
    chunk(from.get(INT, at + 4));
    long length = from.get(LONG, at + 24);
    if (length < 0 || length > Integer.MAX_VALUE) {
      throw impossibleLength(length);
    }
    chunkLength((int) length);
  }

  private static ProtocolViolation wrongMagic(int magic) {
    return new ProtocolViolation(
        "sent a reply with the wrong magic number 0x" + Integer.toHexString(magic));
  }

  private PendingCommand find(long cookie) throws ProtocolViolation {
    PendingCommand found = commands.find(cookie);
    if (found == null) {
      throw new ProtocolViolation(
          "sent a reply to a request that is not under way (cookie 0x"
              + Long.toHexString(cookie)
              + ")");
    }
    command = found;
    return found;
  }

  private void chunk(int flagsAndType) {
    chunkDone = (flagsAndType >>> 16 & NBD_REPLY_FLAG_DONE) != 0;
    chunkType = flagsAndType & 0xffff;
  }

  private void simpleReply(PendingCommand found, int errno) throws ProtocolViolation {
    if (found.isRead() && structuredReplies) {
      throw new ProtocolViolation("answered a READ with a simple reply");
    }
    chunkDone = true;
    if (errno != 0) {
      errors.report(found.type(), errno, "");
      found.failed(errno);
      endChunk(found);
    } else if (found.isRead()) {
      dataChunk(found, 0, found.lengthBytes());
    } else {
      endChunk(found);
    }
  }

  private void chunkLength(int length) throws ProtocolViolation {
    PendingCommand found = current();
    chunkBytes = length;
    switch (chunkType) {
      case NBD_REPLY_TYPE_NONE -> {
        requireLength(length == 0);
        if (!chunkDone) {
          throw new ProtocolViolation("sent an empty chunk that is not the last of its reply");
        }
        endChunk(found);
      }
      case NBD_REPLY_TYPE_OFFSET_DATA -> {
        requireRead(found);
        requireLength(length > OFFSET_BYTES && length - OFFSET_BYTES <= found.lengthBytes());
        next(Step.DATA_OFFSET, OFFSET_BYTES);
      }
      case NBD_REPLY_TYPE_OFFSET_HOLE -> {
        requireRead(found);
        requireLength(length == HOLE_BYTES);
        next(Step.HOLE, HOLE_BYTES);
      }
      case NBD_REPLY_TYPE_BLOCK_STATUS, NBD_REPLY_TYPE_BLOCK_STATUS_EXT -> {
        requireStatus(found);
        int descriptors = length - statusBytes;
        requireLength(
            descriptors > 0
                && descriptors % descriptorBytes == 0
                && descriptors / descriptorBytes <= StatusQuery.DESCRIPTORS_MAX);
        next(Step.STATUS, statusBytes);
      }
      default -> errorChunkLength(length);
    }
  }

  private void errorChunkLength(int length) throws ProtocolViolation {
    if ((chunkType & NBD_REPLY_TYPE_FLAG_ERROR) == 0) {
      throw new ProtocolViolation("sent a chunk of the unknown type " + chunkType);
    }
    requireLength(length >= 0 && length <= ERROR_CHUNK_BYTES_MAX);
    if (chunkType == NBD_REPLY_TYPE_ERROR) {
      requireLength(length >= ERROR_BYTES);
      next(Step.ERROR, Math.min(length, PIECE_BYTES_MAX));
    } else if (chunkType == NBD_REPLY_TYPE_ERROR_OFFSET) {
      requireLength(length >= ERROR_BYTES + OFFSET_BYTES);
      next(Step.ERROR, Math.min(length, PIECE_BYTES_MAX));
    } else {
      // An error that this client does not know is still an error, and no more than that.
      PendingCommand found = current();
      errors.report(found.type(), chunkType, "unknown kind of error");
      found.failed(chunkType);
      skip(length);
    }
  }

  private void requireLength(boolean fits) throws ProtocolViolation {
    if (!fits) {
      throw impossibleLength(Integer.toUnsignedLong(chunkBytes));
    }
  }

  private ProtocolViolation impossibleLength(long length) {
    return new ProtocolViolation(
        "sent a chunk of type "
            + chunkType
            + " whose length cannot be "
            + Long.toUnsignedString(length));
  }

  private static void requireRead(PendingCommand found) throws ProtocolViolation {
    if (!found.isRead()) {
      throw new ProtocolViolation(
          "sent data in answer to " + NbdProtocol.commandName(found.type()));
    }
  }

  /// Each form of headers has its own form of status.
  private void requireStatus(PendingCommand found) throws ProtocolViolation {
    if (found.type() != NBD_CMD_BLOCK_STATUS
        || extendedHeaders != (chunkType == NBD_REPLY_TYPE_BLOCK_STATUS_EXT)) {
      throw new ProtocolViolation(
          "sent a chunk of type "
              + chunkType
              + " in answer to "
              + NbdProtocol.commandName(found.type()));
    }
  }

  /// Only a [StatusQuery] is sent as BLOCK_STATUS.
  private static StatusQuery query(PendingCommand found) {
    return (StatusQuery) found.request();
  }

  private void statusChunk(MemorySegment from, int at) throws ProtocolViolation {
    query(current()).begin(from.get(INT, at));
    chunkBytes -= statusBytes;
    if (extendedHeaders) {
      requireLength(from.get(INT, at + 4) == chunkBytes / descriptorBytes);
    }
    next(Step.DESCRIPTOR, descriptorBytes);
  }

  private void descriptor(MemorySegment from, int at) throws ProtocolViolation {
    PendingCommand found = current();
    if (extendedHeaders) {
      query(found).descriptor(from.get(LONG, at), from.get(LONG, at + Long.BYTES));
    } else {
      query(found)
          .descriptor(Integer.toUnsignedLong(from.get(INT, at)), from.get(INT, at + Integer.BYTES));
    }
    chunkBytes -= descriptorBytes;
    if (chunkBytes == 0) {
      endChunk(found);
    }
  }

  private void dataChunk(long offset) throws ProtocolViolation {
    PendingCommand found = current();
    dataChunk(found, offset - found.offsetBytes(), chunkBytes - OFFSET_BYTES);
  }

  private void dataChunk(PendingCommand found, long start, int length) throws ProtocolViolation {
    cover(found, start, length);
    dataAt = (int) start;
    next(Step.DATA, length);
  }

  /// Checks that a chunk lies within its request and repeats nothing.
  private static void cover(PendingCommand found, long start, long length)
      throws ProtocolViolation {
    if (start < 0 || length > found.lengthBytes() || start > found.lengthBytes() - length) {
      throw new ProtocolViolation("sent data for bytes that it was not asked for");
    }
    if (!found.coverage().add((int) start, (int) (start + length))) {
      throw new ProtocolViolation("sent the same bytes of a READ twice");
    }
  }

  private void data(MemorySegment bytes, int count) throws ProtocolViolation {
    PendingCommand found = current();
    found.request().storePayload(dataAt, bytes);
    dataAt += count;
    need -= count;
    if (need == 0) {
      endChunk(found);
    }
  }

  private void holeChunk(long offset, int unsignedLength) throws ProtocolViolation {
    PendingCommand found = current();
    long start = offset - found.offsetBytes();
    long length = Integer.toUnsignedLong(unsignedLength);
    if (length == 0) {
      throw new ProtocolViolation("sent a hole of no length");
    }
    cover(found, start, length);
    BlockRequest request = found.request();
    for (long stored = 0; stored < length; stored += ZEROES.byteSize()) {
      long bytes = Math.min(ZEROES.byteSize(), length - stored);
      request.storePayload(start + stored, ZEROES.asSlice(0, bytes));
    }
    endChunk(found);
  }

  private void errorChunk(MemorySegment from, int at) throws ProtocolViolation {
    PendingCommand found = current();
    int errno = from.get(INT, at);
    if (errno == 0) {
      throw new ProtocolViolation("sent an error chunk without an error");
    }
    // A message longer than its chunk is the server's mistake, but does not put us out of step.
    int seen = Math.min(chunkBytes, PIECE_BYTES_MAX) - ERROR_BYTES;
    int textBytes = Math.min(Short.toUnsignedInt(from.get(SHORT, at + 4)), seen);
    found.failed(errno);
    errors.report(found.type(), errno, text(from, at + ERROR_BYTES, textBytes));
    skip(chunkBytes - Math.min(chunkBytes, PIECE_BYTES_MAX));
  }

  private static String text(MemorySegment from, int at, int length) {
    byte[] bytes = from.asSlice(at, length).toArray(ValueLayout.JAVA_BYTE);
    return ServerText.clean(new String(bytes, StandardCharsets.UTF_8));
  }

  private void skip(int bytes) throws ProtocolViolation {
    if (bytes == 0) {
      endChunk(current());
    } else {
      next(Step.SKIP, bytes);
    }
  }

  /// All of a chunk, or of a simple reply, is there.
  private void endChunk(PendingCommand found) throws ProtocolViolation {
    next(Step.HEADER, headerBytes);
    command = null;
    if (chunkDone) {
      endReply(found);
    }
  }

  private void endReply(PendingCommand found) throws ProtocolViolation {
    int errno = found.errno();
    if (errno != 0) {
      end.failed(found, errno);
    } else if (found.isRead() && !found.coverage().covers(found.lengthBytes())) {
      throw new ProtocolViolation("ended a READ without sending all of its bytes");
    } else if (found.type() == NBD_CMD_BLOCK_STATUS && !query(found).answered()) {
      throw new ProtocolViolation("ended a BLOCK_STATUS without telling any status");
    } else {
      end.succeeded(found);
    }
  }
}
