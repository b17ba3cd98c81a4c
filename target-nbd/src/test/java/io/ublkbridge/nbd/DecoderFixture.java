package io.ublkbridge.nbd;

import static org.junit.jupiter.api.Assertions.assertNotNull;

import io.ublkbridge.target.RecordedRequest;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/// A decoder fed bytes directly, and requests for it to answer.
abstract class DecoderFixture {
  static final long OFFSET = 1L << 40;
  static final int LENGTH = 1024;

  final CookieTable table = new CookieTable();

  ReplyDecoder decoder(boolean structured) {
    return decoder(structured ? HeaderForm.STRUCTURED : HeaderForm.SIMPLE);
  }

  ReplyDecoder decoder(HeaderForm headers) {
    return new ReplyDecoder(table, new TableEnd(table), new ServerErrors("test"), headers);
  }

  PendingCommand start(RecordedRequest request, int type) {
    PendingCommand command = table.start(request, type, 0);
    assertNotNull(command);
    return command;
  }

  PendingCommand startRead(RecordedRequest request) {
    return start(request, NbdProtocol.NBD_CMD_READ);
  }

  static void feed(ReplyDecoder decoder, byte[] bytes, int piece) throws ProtocolViolation {
    for (int at = 0; at < bytes.length; at += piece) {
      byte[] part = Arrays.copyOfRange(bytes, at, Math.min(bytes.length, at + piece));
      // Each piece in memory of its own, and not at its start: nothing may be kept from the last.
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment memory = arena.allocate(part.length + 3);
        MemorySegment.copy(part, 0, memory, ValueLayout.JAVA_BYTE, 3, part.length);
        decoder.decode(memory, 3, part.length + 3);
      }
    }
  }

  static byte[] data(long offset, int count) {
    return Bytes.of().u64(offset).raw(Bytes.pattern(offset, count)).array();
  }

  static byte[] hole(long offset, int count) {
    return Bytes.of().u64(offset).u32(count).array();
  }

  static byte[] error(int errno, String message) {
    byte[] text = message.getBytes(StandardCharsets.UTF_8);
    return Bytes.of().u32(errno).u16(text.length).raw(text).array();
  }
}
