package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.NbdProtocol.NBD_REPLY_FLAG_DONE;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REPLY_TYPE_ERROR;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REPLY_TYPE_ERROR_OFFSET;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REPLY_TYPE_NONE;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REPLY_TYPE_OFFSET_DATA;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REPLY_TYPE_OFFSET_HOLE;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.ublkbridge.target.IoError;
import io.ublkbridge.target.RecordedRequest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// The decoder alone, fed bytes directly.
final class ReplyDecoderTest extends DecoderFixture {

  // Good replies, whole and torn.

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 7, 15, 16, 17, 1000, 100_000})
  void aSimpleReplyCarriesTheDataOfARead(int piece) throws Exception {
    RecordedRequest read = RecordedRequest.read(OFFSET, LENGTH);
    long cookie = startRead(read).cookie();
    feed(
        decoder(false),
        Bytes.of().simpleReply(0, cookie).raw(Bytes.pattern(OFFSET, LENGTH)).array(),
        piece);
    assertNull(read.await());
    assertArrayEquals(Bytes.pattern(OFFSET, LENGTH), read.payload());
    assertEquals(0, table.inFlight());
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 100_000})
  void aSimpleErrorCarriesNoData(int piece) throws Exception {
    RecordedRequest read = RecordedRequest.read(OFFSET, LENGTH);
    RecordedRequest next = RecordedRequest.read(OFFSET, 1);
    long cookie = startRead(read).cookie();
    long nextCookie = startRead(next).cookie();
    feed(
        decoder(false),
        Bytes.of().simpleReply(5, cookie).simpleReply(0, nextCookie).u8(9).array(),
        piece);
    assertEquals(IoError.IO, read.await());
    assertNull(next.await());
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 3, 100_000})
  void dataChunksComeInAnyOrder(int piece) throws Exception {
    RecordedRequest read = RecordedRequest.read(OFFSET, LENGTH);
    long cookie = startRead(read).cookie();
    feed(
        decoder(true),
        Bytes.of()
            .chunk(0, NBD_REPLY_TYPE_OFFSET_DATA, cookie, data(OFFSET + 600, LENGTH - 600))
            .chunk(0, NBD_REPLY_TYPE_OFFSET_DATA, cookie, data(OFFSET, 1))
            .chunk(0, NBD_REPLY_TYPE_OFFSET_DATA, cookie, data(OFFSET + 1, 599))
            .chunk(NBD_REPLY_FLAG_DONE, NBD_REPLY_TYPE_NONE, cookie, new byte[0])
            .array(),
        piece);
    assertNull(read.await());
    assertArrayEquals(Bytes.pattern(OFFSET, LENGTH), read.payload());
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 100_000})
  void aHoleReadsAsZeroes(int piece) throws Exception {
    int length = 200_000;
    RecordedRequest read = RecordedRequest.read(OFFSET, length);
    long cookie = startRead(read).cookie();
    feed(
        decoder(true),
        Bytes.of()
            .chunk(0, NBD_REPLY_TYPE_OFFSET_DATA, cookie, data(OFFSET, 512))
            .chunk(
                NBD_REPLY_FLAG_DONE,
                NBD_REPLY_TYPE_OFFSET_HOLE,
                cookie,
                hole(OFFSET + 512, length - 512))
            .array(),
        piece);
    assertNull(read.await());
    byte[] expected = Arrays.copyOf(Bytes.pattern(OFFSET, 512), length);
    assertArrayEquals(expected, read.payload());
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 100_000})
  void anErrorChunkFailsTheRequestWhenItsReplyEnds(int piece) throws Exception {
    RecordedRequest read = RecordedRequest.read(OFFSET, LENGTH);
    long cookie = startRead(read).cookie();
    ReplyDecoder decoder = decoder(true);
    feed(
        decoder,
        Bytes.of()
            .chunk(0, NBD_REPLY_TYPE_OFFSET_DATA, cookie, data(OFFSET, 512))
            .chunk(0, NBD_REPLY_TYPE_ERROR, cookie, error(28, "the disk is full"))
            .array(),
        piece);
    assertFalse(read.ended());
    feed(
        decoder,
        Bytes.of().chunk(NBD_REPLY_FLAG_DONE, NBD_REPLY_TYPE_NONE, cookie, new byte[0]).array(),
        piece);
    assertEquals(IoError.NO_SPACE, read.await());
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 100_000})
  void anErrorMayNameItsOffset(int piece) throws Exception {
    RecordedRequest write = RecordedRequest.write(OFFSET, new byte[512], false);
    long cookie = start(write, NbdProtocol.NBD_CMD_WRITE).cookie();
    byte[] payload = Bytes.of().raw(error(95, "no")).u64(OFFSET + 3).array();
    feed(
        decoder(true),
        Bytes.of().chunk(NBD_REPLY_FLAG_DONE, NBD_REPLY_TYPE_ERROR_OFFSET, cookie, payload).array(),
        piece);
    assertEquals(IoError.UNSUPPORTED, write.await());
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 100_000})
  void longMessagesAreSkipped(int piece) throws Exception {
    RecordedRequest write = RecordedRequest.write(0, new byte[512], false);
    RecordedRequest flush = RecordedRequest.flush();
    long cookie = start(write, NbdProtocol.NBD_CMD_WRITE).cookie();
    long flushCookie = start(flush, NbdProtocol.NBD_CMD_FLUSH).cookie();
    byte[] payload = Bytes.of().raw(error(108, "x".repeat(65535))).u64(0).array();
    feed(
        decoder(true),
        Bytes.of()
            .chunk(NBD_REPLY_FLAG_DONE, NBD_REPLY_TYPE_ERROR_OFFSET, cookie, payload)
            .simpleReply(0, flushCookie)
            .array(),
        piece);
    assertEquals(IoError.UNREACHABLE, write.await());
    assertNull(flush.await());
  }

  @Test
  void anUnknownKindOfErrorFailsTheRequestOnly() throws Exception {
    RecordedRequest write = RecordedRequest.write(0, new byte[512], false);
    RecordedRequest flush = RecordedRequest.flush();
    long cookie = start(write, NbdProtocol.NBD_CMD_WRITE).cookie();
    long flushCookie = start(flush, NbdProtocol.NBD_CMD_FLUSH).cookie();
    feed(
        decoder(true),
        Bytes.of()
            .chunk(NBD_REPLY_FLAG_DONE, 0x8abc, cookie, new byte[1234])
            .simpleReply(0, flushCookie)
            .array(),
        1);
    assertEquals(IoError.IO, write.await());
    assertNull(flush.await());
  }

  @Test
  void anUnknownErrorNumberFailsTheRequestOnly() throws Exception {
    RecordedRequest write = RecordedRequest.write(0, new byte[512], false);
    long cookie = start(write, NbdProtocol.NBD_CMD_WRITE).cookie();
    feed(decoder(true), Bytes.of().simpleReply(0xdeadbeef, cookie).array(), 1);
    assertEquals(IoError.IO, write.await());
  }

  @Test
  void aMessageLongerThanItsChunkFailsTheRequestOnly() throws Exception {
    RecordedRequest write = RecordedRequest.write(0, new byte[512], false);
    RecordedRequest flush = RecordedRequest.flush();
    long cookie = start(write, NbdProtocol.NBD_CMD_WRITE).cookie();
    long flushCookie = start(flush, NbdProtocol.NBD_CMD_FLUSH).cookie();
    feed(
        decoder(true),
        Bytes.of()
            .chunk(
                NBD_REPLY_FLAG_DONE,
                NBD_REPLY_TYPE_ERROR,
                cookie,
                Bytes.of().u32(5).u16(500).raw((byte) 'a').array())
            .simpleReply(0, flushCookie)
            .array(),
        1);
    assertEquals(IoError.IO, write.await());
    assertNull(flush.await());
  }

  /// Many requests at once, their chunks in any order, the stream torn anywhere.
  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
  void interleavedRepliesFindTheirRequests(long seed) throws Exception {
    RandomGenerator random = new Random(seed);
    List<RecordedRequest> requests = new ArrayList<>();
    List<List<byte[]>> replies = new ArrayList<>();
    for (int i = 0; i < 100; i++) {
      long offset = 512L * random.nextInt(1 << 20);
      if (random.nextInt(3) == 0) {
        RecordedRequest write = RecordedRequest.write(offset, new byte[512], false);
        long cookie = start(write, NbdProtocol.NBD_CMD_WRITE).cookie();
        requests.add(write);
        replies.add(new ArrayList<>(List.of(Bytes.of().simpleReply(0, cookie).array())));
      } else {
        RecordedRequest read = RecordedRequest.read(offset, 512 * (1 + random.nextInt(8)));
        requests.add(read);
        replies.add(readReply(random, startRead(read).cookie(), offset, read.lengthBytes()));
      }
    }
    Bytes stream = Bytes.of();
    while (!replies.isEmpty()) {
      int which = random.nextInt(replies.size());
      stream.raw(replies.get(which).removeFirst());
      if (replies.get(which).isEmpty()) {
        replies.remove(which);
      }
    }
    byte[] bytes = stream.array();
    ReplyDecoder decoder = decoder(true);
    int at = 0;
    while (at < bytes.length) {
      int piece = Math.min(bytes.length - at, 1 + random.nextInt(random.nextBoolean() ? 20 : 3000));
      feed(decoder, Arrays.copyOfRange(bytes, at, at + piece), piece);
      at += piece;
    }
    for (RecordedRequest request : requests) {
      assertNull(request.await(), "seed " + seed);
      if (request.operation() == io.ublkbridge.target.Operation.READ) {
        assertArrayEquals(
            Bytes.pattern(request.offsetBytes(), (int) request.lengthBytes()),
            request.payload(),
            "seed " + seed);
      }
    }
  }

  private static List<byte[]> readReply(
      RandomGenerator random, long cookie, long offset, long length) {
    List<byte[]> chunks = new ArrayList<>();
    int at = 0;
    while (at < length) {
      int count = (int) Math.min(length - at, 1 + random.nextInt(700));
      chunks.add(
          Bytes.of()
              .chunk(0, NBD_REPLY_TYPE_OFFSET_DATA, cookie, data(offset + at, count))
              .array());
      at += count;
    }
    Collections.shuffle(chunks, new Random(random.nextLong()));
    chunks.add(
        Bytes.of().chunk(NBD_REPLY_FLAG_DONE, NBD_REPLY_TYPE_NONE, cookie, new byte[0]).array());
    return chunks;
  }

  @Test
  void nothingIsTakenAfterAStop() throws Exception {
    RecordedRequest flush = RecordedRequest.flush();
    long cookie = start(flush, NbdProtocol.NBD_CMD_FLUSH).cookie();
    ReplyDecoder decoder = decoder(true);
    decoder.stop();
    feed(decoder, Bytes.of().simpleReply(0, cookie).array(), 1);
    assertFalse(flush.ended());
  }
}
