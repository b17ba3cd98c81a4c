package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.NbdProtocol.NBD_REPLY_TYPE_ERROR;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REPLY_TYPE_ERROR_OFFSET;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REPLY_TYPE_NONE;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REPLY_TYPE_OFFSET_DATA;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REPLY_TYPE_OFFSET_HOLE;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.target.RecordedRequest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Every reply that ends the connection, whole and byte by byte; nothing may complete by it.
final class ReplyViolationTest extends DecoderFixture {
  /// Checks a violation of the rules for chunks, with structured and with extended headers; or,
  /// without `structured`, one of the rules for simple replies.
  private void assertViolation(boolean structured, @Nullable String what, Consumer<Bytes> reply) {
    if (structured) {
      assertViolation(HeaderForm.STRUCTURED, what, reply);
      assertViolation(HeaderForm.EXTENDED, what, reply);
    } else {
      assertViolation(HeaderForm.SIMPLE, what, reply);
    }
  }

  private void assertViolation(HeaderForm headers, @Nullable String what, Consumer<Bytes> reply) {
    for (int piece : new int[] {1, 100_000}) {
      RecordedRequest read = RecordedRequest.read(OFFSET, LENGTH);
      PendingCommand command = startRead(read);
      Bytes bytes = Bytes.of(headers, OFFSET);
      reply.accept(bytes);
      byte[] stream = bytes.array();
      // The scripts write 0 for the cookie that they cannot know.
      for (int at : cookiePositions(stream)) {
        for (int i = 0; i < 8; i++) {
          stream[at + i] = (byte) (command.cookie() >>> (56 - 8 * i));
        }
      }
      ProtocolViolation violation =
          assertThrows(ProtocolViolation.class, () -> feed(decoder(headers), stream, piece));
      assertTrue(
          String.valueOf(violation.getMessage()).contains(String.valueOf(what)),
          violation.getMessage());
      assertFalse(read.ended(), "a violation must not complete anything");
      table.end(command);
    }
  }

  /// Where `COOKIE` stands in a stream.
  private static List<Integer> cookiePositions(byte[] stream) {
    byte[] mark = Bytes.of().u64(COOKIE).array();
    List<Integer> positions = new ArrayList<>();
    for (int at = 0; at + 8 <= stream.length; at++) {
      if (Arrays.equals(stream, at, at + 8, mark, 0, 8)) {
        positions.add(at);
      }
    }
    return positions;
  }

  private static final long COOKIE = 0x7edcba9876543210L;

  @Test
  void wrongMagic() {
    assertViolation(true, "magic", b -> b.u32(0x12345678).u32(0).u64(COOKIE).u64(0).u64(0));
  }

  @Test
  void unknownCookie() {
    assertViolation(false, "not under way", b -> b.simpleReply(0, 77));
    assertViolation(true, "not under way", b -> b.chunkHeader(1, NBD_REPLY_TYPE_NONE, 77, 0));
  }

  @Test
  void aSecondReplyToTheSameRequest() throws Exception {
    RecordedRequest flush = RecordedRequest.flush();
    long cookie = start(flush, NbdProtocol.NBD_CMD_FLUSH).cookie();
    ReplyDecoder decoder = decoder(true);
    feed(decoder, Bytes.of().simpleReply(0, cookie).array(), 100);
    RecordedRequest next = RecordedRequest.flush();
    start(next, NbdProtocol.NBD_CMD_FLUSH);
    assertThrows(
        ProtocolViolation.class,
        () -> feed(decoder, Bytes.of().simpleReply(0, cookie).array(), 100));
    assertFalse(next.ended());
  }

  @Test
  void aStructuredReplyThatWasNotAgreedOn() {
    assertViolation(
        false,
        "not agreed",
        b -> b.chunk(1, NBD_REPLY_TYPE_OFFSET_DATA, COOKIE, data(OFFSET, LENGTH)));
  }

  @Test
  void aSimpleReplyToAReadInStructuredMode() {
    assertViolation(
        HeaderForm.STRUCTURED, "simple reply", b -> b.simpleReply(0, COOKIE).raw(new byte[LENGTH]));
    assertViolation(HeaderForm.STRUCTURED, "simple reply", b -> b.simpleReply(5, COOKIE));
  }

  @Test
  void anyReplyInAnotherFormThanTheExtendedOne() {
    assertViolation(
        HeaderForm.EXTENDED, "magic", b -> b.simpleReply(5, COOKIE).raw(new byte[LENGTH]));
    byte[] structured =
        Bytes.of().chunk(1, NBD_REPLY_TYPE_OFFSET_DATA, COOKIE, data(OFFSET, LENGTH)).array();
    assertViolation(HeaderForm.EXTENDED, "magic", b -> b.raw(structured));
  }

  @Test
  void anExtendedReplyThatWasNotAgreedOn() {
    for (HeaderForm headers : new HeaderForm[] {HeaderForm.SIMPLE, HeaderForm.STRUCTURED}) {
      assertViolation(
          headers, "magic", b -> b.extendedHeader(1, NBD_REPLY_TYPE_NONE, COOKIE, OFFSET, 0));
    }
  }

  /// Not the offset that the data is for, which stands in the payload.
  @ParameterizedTest
  @ValueSource(longs = {0, OFFSET - 1, OFFSET + 512, -1})
  void anExtendedReplyWithTheOffsetOfAnotherRequest(long offset) {
    assertViolation(
        HeaderForm.EXTENDED,
        "offset is not that of its request",
        b -> b.extendedHeader(0, NBD_REPLY_TYPE_OFFSET_DATA, COOKIE, offset, 520));
  }

  @ParameterizedTest
  @ValueSource(longs = {1L << 31, 1L << 32, (1L << 32) + 520, Long.MAX_VALUE, Long.MIN_VALUE, -1})
  void extendedChunksOfImpossibleLength(long length) {
    for (int type : new int[] {NBD_REPLY_TYPE_OFFSET_DATA, NBD_REPLY_TYPE_ERROR}) {
      assertViolation(
          HeaderForm.EXTENDED,
          "length cannot be " + Long.toUnsignedString(length),
          b -> b.extendedHeader(1, type, COOKIE, OFFSET, length));
    }
  }

  @Test
  void unknownChunkType() {
    assertViolation(true, "unknown type 3", b -> b.chunk(1, 3, COOKIE, new byte[12]));
    assertViolation(true, "unknown type 99", b -> b.chunk(1, 99, COOKIE, new byte[0]));
  }

  @Test
  void anEmptyChunkThatIsNotTheLast() {
    assertViolation(
        true, "not the last", b -> b.chunk(0, NBD_REPLY_TYPE_NONE, COOKIE, new byte[0]));
  }

  @Test
  void anEmptyChunkWithALength() {
    assertViolation(true, "length", b -> b.chunk(1, NBD_REPLY_TYPE_NONE, COOKIE, new byte[1]));
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 7, 8, LENGTH + 9, 0x7fffffff, -1})
  void dataChunksOfImpossibleLength(int length) {
    assertViolation(
        true, "length", b -> b.chunkHeader(1, NBD_REPLY_TYPE_OFFSET_DATA, COOKIE, length));
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 11, 13, -1})
  void holesOfImpossibleLength(int length) {
    assertViolation(
        true, "length", b -> b.chunkHeader(1, NBD_REPLY_TYPE_OFFSET_HOLE, COOKIE, length));
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 5, 65535 + 15, 0x7fffffff, -1})
  void errorChunksOfImpossibleLength(int length) {
    assertViolation(true, "length", b -> b.chunkHeader(1, NBD_REPLY_TYPE_ERROR, COOKIE, length));
  }

  @Test
  void anErrorOffsetChunkWithoutRoomForItsOffset() {
    assertViolation(true, "length", b -> b.chunkHeader(1, NBD_REPLY_TYPE_ERROR_OFFSET, COOKIE, 13));
  }

  @Test
  void anUnknownErrorOfEndlessLength() {
    assertViolation(true, "length", b -> b.chunkHeader(1, 0x8abc, COOKIE, 1 << 30));
  }

  @Test
  void anErrorChunkWithoutAnError() {
    assertViolation(
        true, "without an error", b -> b.chunk(1, NBD_REPLY_TYPE_ERROR, COOKIE, error(0, "")));
  }

  @ParameterizedTest
  @ValueSource(longs = {OFFSET - 1, OFFSET + 1, OFFSET + LENGTH, 0, -1, Long.MIN_VALUE})
  void dataOutsideTheRequest(long offset) {
    assertViolation(
        true,
        "not asked for",
        b -> b.chunk(1, NBD_REPLY_TYPE_OFFSET_DATA, COOKIE, data(offset, LENGTH)));
  }

  @ParameterizedTest
  @ValueSource(ints = {LENGTH + 1, -1, 0x7fffffff})
  void aHoleBeyondTheRequest(int length) {
    assertViolation(
        true,
        "not asked for",
        b -> b.chunk(1, NBD_REPLY_TYPE_OFFSET_HOLE, COOKIE, hole(OFFSET, length)));
  }

  @Test
  void aHoleOfNoLength() {
    assertViolation(
        true, "no length", b -> b.chunk(1, NBD_REPLY_TYPE_OFFSET_HOLE, COOKIE, hole(OFFSET, 0)));
  }

  @Test
  void overlappingChunks() {
    assertViolation(
        true,
        "twice",
        b ->
            b.chunk(0, NBD_REPLY_TYPE_OFFSET_DATA, COOKIE, data(OFFSET, 512))
                .chunk(1, NBD_REPLY_TYPE_OFFSET_HOLE, COOKIE, hole(OFFSET + 511, 512)));
  }

  @Test
  void aReadThatEndsWithAGap() {
    assertViolation(
        true,
        "without sending all",
        b -> b.chunk(1, NBD_REPLY_TYPE_OFFSET_DATA, COOKIE, data(OFFSET, LENGTH - 1)));
    assertViolation(
        true, "without sending all", b -> b.chunk(1, NBD_REPLY_TYPE_NONE, COOKIE, new byte[0]));
  }

  @Test
  void dataForACommandThatHasNone() {
    RecordedRequest write = RecordedRequest.write(OFFSET, new byte[LENGTH], false);
    long cookie = start(write, NbdProtocol.NBD_CMD_WRITE).cookie();
    for (int type : new int[] {NBD_REPLY_TYPE_OFFSET_DATA, NBD_REPLY_TYPE_OFFSET_HOLE}) {
      assertThrows(
          ProtocolViolation.class,
          () -> feed(decoder(true), Bytes.of().chunkHeader(1, type, cookie, 12).array(), 1));
    }
    assertFalse(write.ended());
  }
}
