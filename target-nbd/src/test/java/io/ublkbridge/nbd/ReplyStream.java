package io.ublkbridge.nbd;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/// Makes up replies that a server may send, however unusual: chunks out of order and of all sizes,
/// holes, errors behind data, replies interleaved.
///
/// @param context the metadata context that was chosen
record ReplyStream(SplittableRandom random, HeaderForm headers, int context) {
  private static final int DONE = 1;

  /// The chunks of one reply, in an order in which they may come.
  List<byte[]> reply(long cookie, int type, long offset, int length) {
    boolean read = type == NbdProtocol.NBD_CMD_READ;
    boolean status = type == NbdProtocol.NBD_CMD_BLOCK_STATUS;
    boolean fails = random.nextInt(8) == 0;
    boolean maySimply = headers == HeaderForm.STRUCTURED && !read && (!status || fails);
    if (headers == HeaderForm.SIMPLE || (maySimply && random.nextBoolean())) {
      Bytes reply = Bytes.of().simpleReply(fails ? errno() : 0, cookie);
      return List.of(
          read && !fails ? reply.raw(Bytes.pattern(offset, length)).array() : reply.array());
    }
    List<Chunk> chunks = new ArrayList<>();
    if (read) {
      content(chunks, offset, length);
    } else if (status) {
      chunks.add(status(length));
    }
    if (fails) {
      // Instead of some of the data, in front of it, or behind it.
      chunks.subList(random.nextInt(chunks.size() + 1), chunks.size()).clear();
      chunks.add(random.nextInt(chunks.size() + 1), error(offset));
    }
    return framed(chunks, cookie, offset);
  }

  @SuppressWarnings("ArrayRecordComponent")
  private record Chunk(int type, byte[] payload) {}

  private List<byte[]> framed(List<Chunk> chunks, long cookie, long offset) {
    List<byte[]> framed = new ArrayList<>();
    boolean doneApart = chunks.isEmpty() || random.nextBoolean();
    for (int i = 0; i < chunks.size(); i++) {
      boolean last = !doneApart && i == chunks.size() - 1;
      framed.add(
          Bytes.of(headers, offset)
              .chunk(last ? DONE : 0, chunks.get(i).type(), cookie, chunks.get(i).payload())
              .array());
    }
    if (doneApart) {
      framed.add(Bytes.of(headers, offset).chunk(DONE, 0, cookie, new byte[0]).array());
    }
    return framed;
  }

  private void content(List<Chunk> chunks, long offset, int length) {
    int at = 0;
    while (at < length) {
      int count = Math.min(length - at, 1 + random.nextInt(700));
      Bytes payload = Bytes.of().u64(offset + at);
      chunks.add(
          random.nextInt(4) == 0
              ? new Chunk(2, payload.u32(count).array())
              : new Chunk(1, payload.raw(Bytes.pattern(offset + at, count)).array()));
      at += count;
    }
    if (random.nextInt(3) == 0) {
      for (int i = chunks.size() - 1; i > 0; i--) {
        chunks.set(i, chunks.set(random.nextInt(i + 1), chunks.get(i)));
      }
    }
  }

  private Chunk status(int length) {
    List<Long> numbers = new ArrayList<>();
    long covered = 0;
    do {
      long extent = random.nextLong(length) + 1;
      numbers.add(extent);
      numbers.add(Long.valueOf(random.nextInt(8)));
      covered += extent;
    } while (covered < length && random.nextInt(6) != 0);
    long[] all = numbers.stream().mapToLong(Long::longValue).toArray();
    return new Chunk(
        headers.extendedHeaders() ? 6 : 5, InspectionTest.status(headers, context, all));
  }

  private Chunk error(long offset) {
    byte[] text = "x".repeat(random.nextInt(random.nextInt(20) == 0 ? 5000 : 40)).getBytes(UTF_8);
    Bytes payload = Bytes.of().u32(errno()).u16(text.length).raw(text);
    return switch (random.nextInt(3)) {
      case 0 -> new Chunk(0x8001, payload.array());
      case 1 -> new Chunk(0x8002, payload.u64(offset).array());
      default -> new Chunk(0x8003 + random.nextInt(100), text);
    };
  }

  private int errno() {
    int[] errnos = {1, 5, 12, 22, 28, 75, 95, 108, 4711, -1};
    return errnos[random.nextInt(errnos.length)];
  }

  /// Several replies at once: the chunks of each stay in their order.
  byte[] interleaved(List<List<byte[]>> replies) {
    List<List<byte[]>> left = new ArrayList<>();
    replies.forEach(reply -> left.add(new ArrayList<>(reply)));
    Bytes stream = Bytes.of();
    while (!left.isEmpty()) {
      List<byte[]> next = left.get(random.nextInt(left.size()));
      stream.raw(next.removeFirst());
      if (next.isEmpty()) {
        left.remove(next);
      }
    }
    return stream.array();
  }
}
