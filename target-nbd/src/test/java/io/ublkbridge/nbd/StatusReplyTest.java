package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.InspectionTest.status;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REPLY_TYPE_BLOCK_STATUS;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REPLY_TYPE_BLOCK_STATUS_EXT;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REPLY_TYPE_ERROR;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REPLY_TYPE_NONE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.target.IoError;
import io.ublkbridge.target.RecordedRequest;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// Answers to BLOCK_STATUS, right and wrong, with both forms of headers that have it.
final class StatusReplyTest extends DecoderFixture {
  private static final int CONTEXT = 42;

  private static int type(HeaderForm headers) {
    return headers.extendedHeaders()
        ? NBD_REPLY_TYPE_BLOCK_STATUS_EXT
        : NBD_REPLY_TYPE_BLOCK_STATUS;
  }

  private long start(StatusQuery query) {
    PendingCommand command = table.start(query, NbdProtocol.NBD_CMD_BLOCK_STATUS, 0);
    assertNotNull(command);
    return command.cookie();
  }

  @ParameterizedTest
  @EnumSource(
      value = HeaderForm.class,
      names = {"STRUCTURED", "EXTENDED"})
  void extentsAreJoinedAndEndWhereTheQuestionDid(HeaderForm headers) throws Exception {
    for (int piece : new int[] {1, 7, 100_000}) {
      StatusQuery query = new StatusQuery(CONTEXT, OFFSET, 10_000);
      long cookie = start(query);
      feed(
          decoder(headers),
          Bytes.of(headers, OFFSET)
              .chunk(
                  0,
                  type(headers),
                  cookie,
                  status(headers, CONTEXT, 1000, 0, 2000, 0, 500, 3, 4_000_000_000L, 2))
              .chunk(1, NBD_REPLY_TYPE_NONE, cookie, new byte[0])
              .array(),
          piece);
      assertNull(query.end().join());
      assertEquals(3, query.count());
      assertEquals(OFFSET + 3000, query.endBytes(0));
      assertEquals(OFFSET + 3500, query.endBytes(1));
      assertEquals(OFFSET + 10_000, query.endBytes(2));
      assertEquals(2, query.flags(2));
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = HeaderForm.class,
      names = {"STRUCTURED", "EXTENDED"})
  void aQueryMayFailBehindItsStatus(HeaderForm headers) throws Exception {
    StatusQuery query = new StatusQuery(CONTEXT, OFFSET, 10_000);
    long cookie = start(query);
    feed(
        decoder(headers),
        Bytes.of(headers, OFFSET)
            .chunk(0, type(headers), cookie, status(headers, CONTEXT, 1000, 0))
            .chunk(1, NBD_REPLY_TYPE_ERROR, cookie, error(5, "no more"))
            .array(),
        1);
    assertEquals(IoError.IO, query.end().join());
  }

  private void assertViolation(HeaderForm headers, String what, int chunkType, byte[]... payloads) {
    for (int piece : new int[] {1, 100_000}) {
      StatusQuery query = new StatusQuery(CONTEXT, OFFSET, 10_000);
      long cookie = start(query);
      Bytes stream = Bytes.of(headers, OFFSET);
      for (int i = 0; i < payloads.length; i++) {
        stream.chunk(i == payloads.length - 1 ? 1 : 0, chunkType, cookie, payloads[i]);
      }
      ProtocolViolation violation =
          assertThrows(
              ProtocolViolation.class, () -> feed(decoder(headers), stream.array(), piece));
      assertTrue(String.valueOf(violation.getMessage()).contains(what), violation.getMessage());
      assertFalse(query.end().isDone());
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = HeaderForm.class,
      names = {"STRUCTURED", "EXTENDED"})
  void statusThatCannotBe(HeaderForm headers) {
    int type = type(headers);
    byte[] good = status(headers, CONTEXT, 10_000, 0);
    assertViolation(headers, "not chosen", type, status(headers, CONTEXT + 1, 10_000, 0));
    assertViolation(headers, "not chosen", type, status(headers, CONTEXT, 512, 0), good);
    assertViolation(headers, "no bytes", type, status(headers, CONTEXT, 512, 0, 0, 3));
    assertViolation(
        headers, "not asked for", type, status(headers, CONTEXT, 9_000, 0, 1000, 3, 1, 0));
    assertViolation(headers, "length", type, status(headers, CONTEXT));
    assertViolation(headers, "length", type, new byte[good.length - 1]);
    assertViolation(headers, "length", type, new byte[good.length + 4]);
    assertViolation(headers, "length", type, new byte[0]);
    assertViolation(headers, "without telling", NBD_REPLY_TYPE_NONE, new byte[0]);
    int other = NBD_REPLY_TYPE_BLOCK_STATUS + NBD_REPLY_TYPE_BLOCK_STATUS_EXT - type;
    assertViolation(headers, "in answer to", other, good);
  }

  @ParameterizedTest
  @EnumSource(
      value = HeaderForm.class,
      names = {"STRUCTURED", "EXTENDED"})
  void statusThatNobodyAskedFor(HeaderForm headers) {
    RecordedRequest read = RecordedRequest.read(OFFSET, LENGTH);
    long cookie = startRead(read).cookie();
    assertThrows(
        ProtocolViolation.class,
        () ->
            feed(
                decoder(headers),
                Bytes.of(headers, OFFSET)
                    .chunk(1, type(headers), cookie, status(headers, CONTEXT, LENGTH, 0))
                    .array(),
                100_000));
    assertFalse(read.ended());
  }

  @ParameterizedTest
  @EnumSource(
      value = HeaderForm.class,
      names = {"STRUCTURED", "EXTENDED"})
  void endlessStatus(HeaderForm headers) {
    long cookie = start(new StatusQuery(CONTEXT, OFFSET, 10_000));
    int descriptor = headers.extendedHeaders() ? 16 : 8;
    int length = descriptor / 2 + descriptor * (StatusQuery.DESCRIPTORS_MAX + 1);
    assertThrows(
        ProtocolViolation.class,
        () ->
            feed(
                decoder(headers),
                Bytes.of(headers, OFFSET).chunkHeader(1, type(headers), cookie, length).array(),
                100_000));
  }

  /// The count stands in front of the descriptors only with extended headers.
  @ParameterizedTest
  @EnumSource(
      value = HeaderForm.class,
      names = {"EXTENDED"})
  void theCountMustFitTheLength(HeaderForm headers) {
    for (int count : new int[] {0, 2, -1}) {
      assertViolation(
          headers,
          "length",
          NBD_REPLY_TYPE_BLOCK_STATUS_EXT,
          Bytes.of().u32(CONTEXT).u32(count).u64(10_000).u64(0).array());
    }
  }
}
