package io.ublkbridge.nbd;

import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// What a stream of replies means, read slowly and by the letter of the spec: the whole stream at
/// once, one byte of coverage for each byte of data. [ReplyDecoder] must come to the same.
final class ReplyModel {
  /// One request that the stream may answer.
  static final class Asked {
    final int type;
    final long offset;
    final int length;
    final byte[] data;
    final boolean[] supplied;
    final List<List<Long>> extents = new ArrayList<>();

    private boolean hasStatus;
    private long statusBytes;
    private int errno;
    private @Nullable Boolean success;

    Asked(int type, long offset, int length) {
      this.type = type;
      this.offset = offset;
      this.length = length;
      boolean read = type == NbdProtocol.NBD_CMD_READ;
      data = new byte[read ? length : 0];
      supplied = new boolean[data.length];
    }

    /// Whether it succeeded; null if it has not ended.
    @Nullable Boolean success() {
      return success;
    }
  }

  private static final class Violation extends Exception {
    private static final long serialVersionUID = 1L;
  }

  private final HeaderForm headers;
  private final int context;
  private final Map<Long, Asked> pending = new HashMap<>();
  private boolean violated;
  private boolean endedInError;

  /// @param context the only metadata context that was chosen
  ReplyModel(HeaderForm headers, int context) {
    this.headers = headers;
    this.context = context;
  }

  void ask(long cookie, Asked asked) {
    pending.put(cookie, asked);
  }

  boolean violated() {
    return violated;
  }

  /// Whether the stream ends within an error chunk: a decoder may judge what is there of it, or
  /// wait for the rest.
  boolean endedInError() {
    return endedInError;
  }

  void read(byte[] stream) {
    ByteBuffer in = ByteBuffer.wrap(stream);
    try {
      while (in.hasRemaining()) {
        reply(in);
      }
    } catch (BufferUnderflowException restIsToCome) {
      // What is there of it ends nothing.
    } catch (Violation e) {
      violated = true;
    }
  }

  private static void require(boolean condition) throws Violation {
    if (!condition) {
      throw new Violation();
    }
  }

  private static ByteBuffer take(ByteBuffer in, int bytes) {
    byte[] taken = new byte[bytes];
    in.get(taken);
    return ByteBuffer.wrap(taken);
  }

  private void reply(ByteBuffer in) throws Violation {
    ByteBuffer header = take(in, headers.extendedHeaders() ? 32 : 16);
    int magic = header.getInt();
    int word = header.getInt();
    long cookie = header.getLong();
    boolean simple = magic == 0x67446698 && !headers.extendedHeaders();
    require(simple || magic == (headers.extendedHeaders() ? 0x6e8a278c : 0x668e33ef));
    Asked asked = pending.get(cookie);
    if (asked == null) {
      throw new Violation();
    }
    if (simple) {
      simpleReply(in, word, cookie, asked);
      return;
    }
    require(headers != HeaderForm.SIMPLE);
    boolean done = (word >>> 16 & 1) != 0;
    long length;
    if (headers.extendedHeaders()) {
      require(header.getLong() == asked.offset);
      length = header.getLong();
      require(length >= 0);
    } else {
      length = Integer.toUnsignedLong(take(in, 4).getInt());
    }
    chunk(in, asked, word & 0xffff, done, length);
    if (done) {
      end(cookie, asked);
    }
  }

  private void simpleReply(ByteBuffer in, int errno, long cookie, Asked asked) throws Violation {
    boolean read = asked.type == NbdProtocol.NBD_CMD_READ;
    require(!read || headers == HeaderForm.SIMPLE);
    if (errno != 0) {
      asked.errno = errno;
    } else if (read) {
      store(asked, asked.offset, take(in, asked.length).array());
    }
    end(cookie, asked);
  }

  private void chunk(ByteBuffer in, Asked asked, int type, boolean done, long length)
      throws Violation {
    boolean read = asked.type == NbdProtocol.NBD_CMD_READ;
    switch (type) {
      case 0 -> require(length == 0 && done);
      case 1 -> {
        require(read && length > 8 && length <= 8L + asked.length);
        long offset = take(in, 8).getLong();
        within(asked, offset, length - 8);
        store(asked, offset, take(in, (int) length - 8).array());
      }
      case 2 -> {
        require(read && length == 12);
        ByteBuffer hole = take(in, 12);
        long offset = hole.getLong();
        long bytes = Integer.toUnsignedLong(hole.getInt());
        require(bytes > 0);
        within(asked, offset, bytes);
        store(asked, offset, new byte[(int) bytes]);
      }
      case 5, 6 -> status(in, asked, type, length);
      default -> {
        require(type >= 0x8000 && length <= 6 + 65535 + 8);
        error(in, asked, type, (int) length);
      }
    }
  }

  private void error(ByteBuffer in, Asked asked, int type, int length) throws Violation {
    boolean known = type == 0x8001 || type == 0x8002;
    require(!known || length >= (type == 0x8001 ? 6 : 14));
    endedInError = in.remaining() < length;
    int errno = known ? take(in, length).getInt() : type;
    if (!known) {
      take(in, length);
    }
    require(errno != 0);
    if (asked.errno == 0) {
      asked.errno = errno;
    }
  }

  private void status(ByteBuffer in, Asked asked, int type, long length) throws Violation {
    boolean extended = headers.extendedHeaders();
    require(asked.type == NbdProtocol.NBD_CMD_BLOCK_STATUS && type == (extended ? 6 : 5));
    int size = extended ? 16 : 8;
    long bytes = length - size / 2;
    require(bytes > 0 && bytes % size == 0 && bytes / size <= 1 << 20);
    ByteBuffer prefix = take(in, size / 2);
    require(prefix.getInt() == context && !asked.hasStatus);
    require(!extended || prefix.getInt() == bytes / size);
    asked.hasStatus = true;
    for (long left = bytes / size; left > 0; left--) {
      ByteBuffer descriptor = take(in, size);
      long extent = extended ? descriptor.getLong() : Integer.toUnsignedLong(descriptor.getInt());
      long flags = (extended ? descriptor.getLong() : descriptor.getInt()) & 3;
      require(extent > 0 && asked.statusBytes < asked.length);
      asked.statusBytes += Math.min(extent, asked.length - asked.statusBytes);
      List<Long> last = asked.extents.isEmpty() ? List.of() : asked.extents.getLast();
      if (!last.isEmpty() && last.get(1) == flags) {
        asked.extents.removeLast();
      }
      asked.extents.add(List.of(asked.offset + asked.statusBytes, flags));
    }
  }

  private static void within(Asked asked, long offset, long length) throws Violation {
    require(Long.compareUnsigned(offset, asked.offset) >= 0);
    long start = offset - asked.offset;
    require(start >= 0 && start <= asked.length && length <= asked.length - start);
    for (long at = start; at < start + length; at++) {
      require(!asked.supplied[(int) at]);
    }
  }

  private static void store(Asked asked, long offset, byte[] data) {
    int start = (int) (offset - asked.offset);
    System.arraycopy(data, 0, asked.data, start, data.length);
    Arrays.fill(asked.supplied, start, start + data.length, true);
  }

  private void end(long cookie, Asked asked) throws Violation {
    if (asked.errno == 0) {
      for (boolean byteSupplied : asked.supplied) {
        require(byteSupplied);
      }
      require(asked.type != NbdProtocol.NBD_CMD_BLOCK_STATUS || !asked.extents.isEmpty());
    }
    pending.remove(cookie);
    asked.success = asked.errno == 0;
  }
}
