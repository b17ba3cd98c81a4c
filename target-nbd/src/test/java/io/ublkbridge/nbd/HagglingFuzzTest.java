package io.ublkbridge.nbd;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.embedded.EmbeddedChannel;
import io.netty.util.concurrent.Promise;
import io.ublkbridge.target.TargetOpenException;
import java.time.Duration;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// A handshake with a server that answers every option by chance, well-formed or damaged, torn
/// anywhere: it ends in an export that is described without contradiction, or in a failure with
/// words, and at the latest when the connection does.
final class HagglingFuzzTest {
  private static final int ROUNDS_MAX = 200;

  private static final class Run {
    final SplittableRandom random;
    final EmbeddedChannel channel = new EmbeddedChannel();
    final ReceiveBuffer receiveBuffer = new ReceiveBuffer();
    final Promise<NbdConnection> result = channel.eventLoop().newPromise();
    final boolean damaged;

    Run(SplittableRandom random, Purpose purpose, boolean damaged) {
      this.random = random;
      this.damaged = damaged;
      String export = random.nextBoolean() ? "" : "vol";
      channel
          .pipeline()
          .addLast(
              new HandshakeHandler(
                      "fuzz", new OptionHaggling(export, purpose), receiveBuffer, result)
                  .within(Duration.ofHours(1), Duration.ofHours(1)));
    }

    void haggle() {
      send(
          Bytes.of()
              .u64(NbdProtocol.NBDMAGIC)
              .u64(NbdProtocol.IHAVEOPT)
              .u16(1 + 2 * random.nextInt(2))
              .array());
      for (int round = 0; round < ROUNDS_MAX && !result.isDone(); round++) {
        int option = lastOption();
        if (option == 0) {
          break;
        }
        answer(option);
      }
      channel.finishAndReleaseAll();
      channel.checkException();
      receiveBuffer.release();
    }

    /// The option that the client has sent; 0 if it waits for more of an answer.
    private int lastOption() {
      int option = 0;
      for (ByteBuf sent = channel.readOutbound(); sent != null; sent = channel.readOutbound()) {
        if (sent.readableBytes() >= 16 && sent.getLong(0) == NbdProtocol.IHAVEOPT) {
          option = sent.getInt(8);
        }
        sent.release();
      }
      return option;
    }

    private void send(byte[] bytes) {
      byte[] sent = damaged && random.nextInt(8) == 0 ? Seeds.mutate(random, bytes) : bytes;
      int at = 0;
      while (at < sent.length && channel.isOpen()) {
        int count = Math.min(sent.length - at, 1 + random.nextInt(40));
        channel.writeInbound(Unpooled.copiedBuffer(sent, at, count));
        at += count;
      }
    }

    private void answer(int option) {
      if (option == NbdProtocol.NBD_OPT_EXPORT_NAME) {
        send(Bytes.of().u64(1 << 20).u16(1).raw(new byte[124]).array());
        return;
      }
      Bytes replies = Bytes.of();
      boolean refused = random.nextInt(4) == 0;
      if (!refused) {
        content(option, replies);
      }
      if (refused) {
        byte[] why = "why".getBytes(UTF_8);
        reply(replies, option, NbdProtocol.NBD_REP_FLAG_ERROR | 1 + random.nextInt(12), why);
      } else {
        reply(replies, option, NbdProtocol.NBD_REP_ACK, new byte[0]);
      }
      send(replies.array());
    }

    private void content(int option, Bytes replies) {
      switch (option) {
        case NbdProtocol.NBD_OPT_LIST -> {
          for (int i = random.nextInt(5); i > 0; i--) {
            byte[] name = "n".repeat(random.nextInt(20)).getBytes(UTF_8);
            reply(
                replies,
                option,
                NbdProtocol.NBD_REP_SERVER,
                Bytes.of().u32(name.length).raw(name).raw("words".getBytes(UTF_8)).array());
          }
        }
        case NbdProtocol.NBD_OPT_SET_META_CONTEXT -> {
          if (random.nextBoolean()) {
            byte[] name = NbdProtocol.BASE_ALLOCATION.getBytes(UTF_8);
            byte[] data = Bytes.of().u32(random.nextInt()).raw(name).array();
            reply(replies, option, NbdProtocol.NBD_REP_META_CONTEXT, data);
          }
        }
        case NbdProtocol.NBD_OPT_INFO, NbdProtocol.NBD_OPT_GO -> {
          info(replies, option, Bytes.of().u16(0).u64(random.nextLong()).u16(0xffff).array());
          info(replies, option, Bytes.of().u16(3).u32(512).u32(4096).u32(1 << 25).array());
          info(replies, option, Bytes.of().u16(random.nextInt(8) + 4).array());
          info(replies, option, Bytes.of().u16(1).raw((byte) 'n').array());
        }
        default -> {}
      }
    }

    private static void info(Bytes replies, int option, byte[] data) {
      reply(replies, option, NbdProtocol.NBD_REP_INFO, data);
    }

    private static void reply(Bytes replies, int option, int type, byte[] data) {
      replies.u64(NbdProtocol.OPTION_REPLY_MAGIC).u32(option).u32(type).u32(data.length).raw(data);
    }

    void check() {
      assertTrue(result.isDone(), "the end of the connection ends the handshake");
      if (result.isSuccess()) {
        Negotiated negotiated = result.getNow().negotiated();
        assertTrue(negotiated.info().has(NbdProtocol.NBD_FLAG_HAS_FLAGS));
        assertTrue(negotiated.info().blockSizes().consistent());
      } else {
        TargetOpenException failure =
            assertInstanceOf(TargetOpenException.class, result.cause(), String.valueOf(result));
        assertFalse(String.valueOf(failure.getMessage()).isBlank());
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Purpose.class)
  void everyHandshakeEnds(Purpose purpose) {
    int[] entered = new int[2];
    for (boolean damaged : new boolean[] {false, true}) {
      Seeds.forEach(random -> {
        for (int i = 0; i < 10; i++) {
          Run run = new Run(random, purpose, damaged);
          run.haggle();
          run.check();
          entered[run.result.isSuccess() ? 1 : 0]++;
        }
      });
    }
    assertTrue(entered[0] > 0 && entered[1] > 0, "both ends are to be seen");
  }
}
