package io.ublkbridge.nbd;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.UnpooledByteBufAllocator;
import io.netty.channel.embedded.EmbeddedChannel;
import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import io.ublkbridge.target.PayloadException;
import io.ublkbridge.target.RecordedRequest;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class RequestEncoderTest {
  private final EmbeddedChannel channel = new EmbeddedChannel();
  private final SendBuffers buffers = new SendBuffers(UnpooledByteBufAllocator.DEFAULT);
  private final RequestEncoder encoder =
      new RequestEncoder(channel, buffers, HeaderForm.STRUCTURED);
  private final RequestEncoder extended = new RequestEncoder(channel, buffers, HeaderForm.EXTENDED);

  @AfterEach
  void close() {
    encoder.close();
    extended.close();
    buffers.close();
    channel.finishAndReleaseAll();
  }

  /// Everything that was sent, and in how many buffers.
  private record Sent(int buffers, String hex) {}

  private Sent sent() {
    int buffers = 0;
    StringBuilder hex = new StringBuilder();
    ByteBuf buffer = channel.readOutbound();
    while (buffer != null) {
      hex.append(ByteBufUtil.hexDump(buffer));
      buffer.release();
      buffers++;
      buffer = channel.readOutbound();
    }
    return new Sent(buffers, hex.toString());
  }

  @Test
  void aRequestIsAsCaptured() {
    encoder.add(
        NbdProtocol.NBD_CMD_FLAG_FUA | NbdProtocol.NBD_CMD_FLAG_NO_HOLE,
        NbdProtocol.NBD_CMD_WRITE_ZEROES,
        0x1122334455667788L,
        0x0102030405060708L,
        0xfffff000);
    encoder.flush();
    assertEquals(
        new Sent(
            1, "25609513" + "0003" + "0006" + "1122334455667788" + "0102030405060708" + "fffff000"),
        sent());
  }

  @Test
  void aWriteIsFollowedByItsPayload() {
    encoder.addWrite(
        NbdProtocol.NBD_CMD_FLAG_FUA,
        5,
        RecordedRequest.write(512, new byte[] {1, 2, 3}, true),
        null);
    encoder.flush();
    assertEquals(
        new Sent(
            1,
            "25609513"
                + "0001"
                + "0001"
                + "0000000000000005"
                + "0000000000000200"
                + "00000003"
                + "010203"),
        sent());
  }

  @Test
  void anExtendedRequestHas64BitsForItsLength() {
    extended.add(
        NbdProtocol.NBD_CMD_FLAG_FUA,
        NbdProtocol.NBD_CMD_TRIM,
        0x1122334455667788L,
        0x0102030405060708L,
        0x1_0000_0200L);
    extended.flush();
    assertEquals(
        new Sent(
            1,
            "21e41c71"
                + "0001"
                + "0004"
                + "1122334455667788"
                + "0102030405060708"
                + "0000000100000200"),
        sent());
  }

  @Test
  void anExtendedWriteSaysThatPayloadFollows() {
    extended.addWrite(
        NbdProtocol.NBD_CMD_FLAG_FUA,
        5,
        RecordedRequest.write(512, new byte[] {1, 2, 3}, true),
        null);
    extended.flush();
    assertEquals(
        new Sent(
            1,
            "21e41c71"
                + "0021"
                + "0001"
                + "0000000000000005"
                + "0000000000000200"
                + "0000000000000003"
                + "010203"),
        sent());
    byte[] payload = Bytes.pattern(3, SendBuffers.BUFFER_BYTES);
    extended.addWrite(0, 2, RecordedRequest.write(0, payload, false), null);
    extended.flush();
    String sent = sent().hex();
    assertEquals("21e41c71" + "0020" + "0001", sent.substring(0, 16));
    assertEquals(2 * (NbdProtocol.EXTENDED_REQUEST_BYTES + payload.length), sent.length());
  }

  @Test
  void requestsAreSentTogether() {
    encoder.add(0, NbdProtocol.NBD_CMD_READ, 1, 0, 512);
    encoder.add(0, NbdProtocol.NBD_CMD_FLUSH, 2, 0, 0);
    assertNull(channel.readOutbound());
    encoder.flush();
    Sent sent = sent();
    assertEquals(1, sent.buffers());
    assertEquals(2 * 2 * NbdProtocol.REQUEST_BYTES, sent.hex().length());
    encoder.flush();
    assertEquals(0, sent().buffers());
  }

  @Test
  void longPayloadKeepsItsPlaceBetweenOthers() {
    byte[] payload = Bytes.pattern(3, SendBuffers.BUFFER_BYTES);
    encoder.add(0, NbdProtocol.NBD_CMD_READ, 1, 0, 512);
    encoder.addWrite(0, 2, RecordedRequest.write(0, payload, false), null);
    encoder.add(0, NbdProtocol.NBD_CMD_READ, 3, 0, 512);
    encoder.flush();
    byte[] all = HexFormat.of().parseHex(sent().hex());
    int header = NbdProtocol.REQUEST_BYTES;
    byte[] found = new byte[payload.length];
    System.arraycopy(all, 2 * header, found, 0, payload.length);
    assertArrayEquals(payload, found);
    assertEquals(3 * header + payload.length, all.length);
    assertEquals(3, all[all.length - header + 15]);
  }

  @Test
  void fullBuffersFollowOneAnother() {
    byte[] payload = Bytes.pattern(9, 20_000);
    for (int i = 0; i < 40; i++) {
      encoder.addWrite(0, i, RecordedRequest.write(0, payload, false), null);
    }
    encoder.flush();
    byte[] all = HexFormat.of().parseHex(sent().hex());
    assertEquals(40 * (NbdProtocol.REQUEST_BYTES + payload.length), all.length);
    for (int i = 0; i < 40; i++) {
      assertEquals(i, all[i * (NbdProtocol.REQUEST_BYTES + payload.length) + 15]);
    }
  }

  @Test
  void aBufferInUseIsNotOverwritten() {
    encoder.add(0, NbdProtocol.NBD_CMD_READ, 1, 0, 512);
    encoder.flush();
    ByteBuf first = channel.readOutbound();
    encoder.add(0, NbdProtocol.NBD_CMD_READ, 2, 0, 512);
    encoder.flush();
    ByteBuf second = channel.readOutbound();
    assertEquals(1, first.getLong(8));
    assertEquals(2, second.getLong(second.readerIndex() + 8));
    first.release();
    second.release();
  }

  @Test
  void aWriteWithoutPayloadLeavesNothingBehind() {
    assertThrows(PayloadException.class, () -> encoder.addWrite(0, 1, new Broken(512), null));
    assertThrows(PayloadException.class, () -> encoder.addWrite(0, 1, new Broken(1 << 20), null));
    encoder.flush();
    assertEquals(0, sent().buffers());
    encoder.add(0, NbdProtocol.NBD_CMD_FLUSH, 2, 0, 0);
    encoder.flush();
    assertEquals(2 * NbdProtocol.REQUEST_BYTES, sent().hex().length());
  }

  @Test
  void payloadThatIsKeptIsNotOverwritten() {
    byte[] payload = Bytes.pattern(5, 4096);
    JournalEntry entry = new JournalEntry(0);
    entry.begin(NbdProtocol.NBD_CMD_WRITE, 0, 0, payload.length);
    encoder.addWrite(0, 1, RecordedRequest.write(0, payload, false), entry);
    for (int i = 0; i < 3 * SendBuffers.BUFFER_BYTES / payload.length; i++) {
      encoder.addWrite(0, 2, RecordedRequest.write(0, new byte[payload.length], false), null);
      encoder.flush();
      sent();
    }
    byte[] kept = entry.payload(0, payload.length).toArray(ValueLayout.JAVA_BYTE);
    assertArrayEquals(payload, kept);
    // One buffer is kept, the other is used again and again.
    assertEquals(2L * SendBuffers.BUFFER_BYTES, buffers.bytes());
    entry.end();
    assertEquals(0, buffers.usedBytes());
  }

  /// What need not last makes do without the journal's slots, but no write that is kept follows it
  /// there.
  @Test
  void whatIsKeptIsInTheJournalsFile(@TempDir Path dir) throws IOException {
    JournalLayout layout = new JournalLayout(1, 4, 2, 4096);
    try (JournalFile file = JournalFile.create(dir.resolve("journal"), layout, "disk", 2)) {
      JournalPart part = file.part(0, 2);
      SendBuffers slots = new SendBuffers(UnpooledByteBufAllocator.DEFAULT, 4096, part);
      RequestEncoder lasting = new RequestEncoder(channel, slots, HeaderForm.STRUCTURED);
      JournalEntry first = keptWrite(lasting, 0);
      JournalEntry second = keptWrite(lasting, 1);
      assertFalse(slots.hasLasting(), "both are needed");
      lasting.add(0, NbdProtocol.NBD_CMD_READ, 3, 0, 512);
      lasting.flush();
      sent();
      first.end();
      assertTrue(slots.hasLasting());
      JournalEntry third = keptWrite(lasting, 2);
      for (JournalEntry kept : List.of(second, third)) {
        assertTrue(kept.payloadPosition() >= layout.slotAt(0, 0), "not " + kept.payloadPosition());
        assertArrayEquals(
            Bytes.pattern(kept.index(), 4060),
            file.memory().asSlice(kept.payloadPosition(), 4060).toArray(ValueLayout.JAVA_BYTE));
      }
      lasting.close();
      slots.close();
    }
  }

  private JournalEntry keptWrite(RequestEncoder lasting, int index) {
    byte[] payload = Bytes.pattern(index, 4060);
    JournalEntry entry = new JournalEntry(index);
    entry.begin(NbdProtocol.NBD_CMD_WRITE, 0, 0, payload.length);
    lasting.addWrite(0, index, RecordedRequest.write(0, payload, false), entry);
    lasting.flush();
    sent();
    return entry;
  }

  /// A WRITE whose payload cannot be had.
  private record Broken(long lengthBytes) implements BlockRequest {
    @Override
    public Operation operation() {
      return Operation.WRITE;
    }

    @Override
    public long offsetBytes() {
      return 0;
    }

    @Override
    public boolean durable() {
      return false;
    }

    @Override
    public boolean mayUnmap() {
      return false;
    }

    @Override
    public void loadPayload(long at, MemorySegment into) {
      into.fill((byte) 0x55);
      throw new PayloadException("gone");
    }

    @Override
    public void storePayload(long at, MemorySegment from) {
      throw new AssertionError();
    }

    @Override
    public void complete() {
      throw new AssertionError();
    }

    @Override
    public void fail(IoError error, @Nullable Throwable cause) {
      throw new AssertionError();
    }
  }
}
