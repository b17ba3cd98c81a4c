package io.ublkbridge.nbd;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import io.netty.channel.embedded.EmbeddedChannel;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/// Records come through one by one, however they were received.
final class RecordGateTest {
  private static final String FIRST = "160303000401020304";
  private static final String SECOND = "17030300020a0b";

  private final List<Boolean> taken = new ArrayList<>();
  private final EmbeddedChannel channel = new EmbeddedChannel(new RecordGate(taken::add));

  private void receive(String hexadecimal) {
    channel.writeInbound(Unpooled.wrappedBuffer(ByteBufUtil.decodeHexDump(hexadecimal)));
  }

  private String next() {
    ByteBuf bytes = channel.readInbound();
    if (bytes == null) {
      return "";
    }
    try {
      return ByteBufUtil.hexDump(bytes);
    } finally {
      bytes.release();
    }
  }

  @Test
  void recordsOfOneReceiveComeOneByOne() {
    receive(FIRST + SECOND + "17");
    assertEquals(FIRST, next());
    assertEquals(SECOND, next());
    assertEquals("", next());
    assertEquals(List.of(true, true), taken);
  }

  @Test
  void aTornRecordWaitsForItsRest() {
    for (int at = 0; at < FIRST.length(); at += 2) {
      assertEquals("", next());
      receive(FIRST.substring(at, at + 2));
    }
    assertEquals(FIRST, next());
    assertEquals(List.of(false), taken);
  }

  @Test
  void whatIsNoRecordPasses() {
    receive("4e42444d41474943");
    assertEquals("4e42444d41474943", next());
    receive("17030341ff00");
    assertEquals("17030341ff00", next());
  }

  /// As it is done when the handshake is over: what is left must not be lost.
  @Test
  void whatIsLeftPassesWhenTheGateGoes() {
    EmbeddedChannel[] self = new EmbeddedChannel[1];
    self[0] = new EmbeddedChannel(new RecordGate(_ -> self[0].pipeline().remove(RecordGate.class)));
    self[0].writeInbound(Unpooled.wrappedBuffer(ByteBufUtil.decodeHexDump(FIRST + SECOND + "17")));
    ByteBuf first = self[0].readInbound();
    ByteBuf rest = self[0].readInbound();
    assertEquals(FIRST, ByteBufUtil.hexDump(first));
    assertEquals(SECOND + "17", ByteBufUtil.hexDump(rest));
    first.release();
    rest.release();
  }
}
