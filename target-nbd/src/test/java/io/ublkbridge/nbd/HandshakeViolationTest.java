package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_EXTENDED_HEADERS;
import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_GO;
import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_LIST;
import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_STRUCTURED_REPLY;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REP_ACK;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REP_INFO;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REP_SERVER;
import static io.ublkbridge.nbd.Refusals.assertBroken;
import static io.ublkbridge.nbd.Refusals.assertRefusal;
import static io.ublkbridge.nbd.Refusals.refusal;
import static io.ublkbridge.nbd.Refusals.reply;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.ublkbridge.nbd.ScriptedServer.Script;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.TargetOpenException.Reason;
import io.ublkbridge.target.TargetUri;
import io.ublkbridge.target.UringLoops;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// A server that breaks the rules of the handshake: nothing it says later counts.
final class HandshakeViolationTest {
  private static final int FLAGS = NbdProtocol.NBD_FLAG_HAS_FLAGS;

  private static Script answeringGo(byte[] answer) {
    return wire -> {
      wire.untilGo(true);
      wire.expectOption(NBD_OPT_GO);
      wire.send(answer);
      wire.awaitEnd();
    };
  }

  @Test
  void wrongReplyMagic() throws Exception {
    assertBroken(
        "wrong magic",
        answeringGo(Bytes.of().u64(1).u32(NBD_OPT_GO).u32(NBD_REP_ACK).u32(0).array()));
  }

  @Test
  void aReplyToAnotherOption() throws Exception {
    assertBroken("answered LIST when GO was asked", answeringGo(reply(NBD_OPT_LIST, NBD_REP_ACK)));
  }

  @ParameterizedTest
  @ValueSource(ints = {-1, 0x7fffffff, HandshakeHandler.REPLY_BYTES_MAX + 1})
  void aReplyOfHugeLength(int length) throws Exception {
    assertBroken(
        "announced an option reply",
        answeringGo(
            Bytes.of()
                .u64(NbdProtocol.OPTION_REPLY_MAGIC)
                .u32(NBD_OPT_GO)
                .u32(NBD_REP_INFO)
                .u32(length)
                .array()));
  }

  @Test
  void lengthsThatDoNotFitTheirType() throws Exception {
    assertBroken("an ACK of 1 bytes", answeringGo(reply(NBD_OPT_GO, NBD_REP_ACK, (byte) 0)));
    assertBroken("without a type", answeringGo(reply(NBD_OPT_GO, NBD_REP_INFO, (byte) 0)));
    assertBroken(
        "export information of 9 bytes",
        answeringGo(reply(NBD_OPT_GO, NBD_REP_INFO, new byte[11])));
    assertBroken(
        "block sizes of 8 bytes",
        answeringGo(reply(NBD_OPT_GO, NBD_REP_INFO, Bytes.of().u16(3).u32(1).u32(4096).array())));
  }

  @Test
  void unknownReplyType() throws Exception {
    assertBroken("option reply type 77", answeringGo(reply(NBD_OPT_GO, 77)));
    assertBroken(
        "answered GO with Server", answeringGo(reply(NBD_OPT_GO, NBD_REP_SERVER, new byte[4])));
    assertBroken(
        "answered EXTENDED_HEADERS with",
        wire -> {
          wire.greet();
          wire.expectOption(NBD_OPT_EXTENDED_HEADERS);
          wire.replyToOption(NBD_OPT_EXTENDED_HEADERS, NBD_REP_SERVER, new byte[4]);
          wire.awaitEnd();
        });
    assertBroken(
        "answered STRUCTURED_REPLY with",
        wire -> {
          wire.greet();
          wire.expectOption(NBD_OPT_EXTENDED_HEADERS);
          wire.refuse(NBD_OPT_EXTENDED_HEADERS, NbdProtocol.NBD_REP_ERR_UNSUP, "");
          wire.expectOption(NBD_OPT_STRUCTURED_REPLY);
          wire.replyToOption(NBD_OPT_STRUCTURED_REPLY, NBD_REP_SERVER, new byte[4]);
          wire.awaitEnd();
        });
  }

  /// Knows no such export, so that the client asks for those that there are.
  private static void untilList(ScriptedServer.Wire wire) throws Exception {
    wire.untilGo(true);
    wire.expectOption(NBD_OPT_GO);
    wire.refuse(NBD_OPT_GO, NbdProtocol.NBD_REP_ERR_UNKNOWN, "");
    wire.expectOption(NBD_OPT_LIST);
  }

  @Test
  void aListEntryThatIsTooShort() throws Exception {
    for (byte[] entry : List.of(new byte[3], Bytes.of().u32(-1).array(), new byte[] {0, 0, 0, 9})) {
      assertBroken(
          "longer than the entry",
          wire -> {
            untilList(wire);
            wire.replyToOption(NBD_OPT_LIST, NBD_REP_SERVER, entry);
            wire.awaitEnd();
          });
    }
  }

  @Test
  void anEndlessList() throws Exception {
    assertBroken(
        "never ends",
        wire -> {
          untilList(wire);
          while (true) {
            wire.replyToOption(NBD_OPT_LIST, NBD_REP_SERVER, new byte[4]);
          }
        });
  }

  @Test
  void goWithoutTheSize() throws Exception {
    assertBroken("without telling its size", answeringGo(reply(NBD_OPT_GO, NBD_REP_ACK)));
  }

  @Test
  void flagsWithoutHasFlags() throws Exception {
    assertBroken(
        "HAS_FLAGS",
        wire -> {
          wire.handshake(true, 1 << 20, 0);
          wire.awaitEnd();
        });
  }

  @Test
  void impossibleBlockSizes() throws Exception {
    int[][] impossible = {
      {0, 4096, 1 << 20}, {3, 4096, 1 << 20}, {1 << 17, 1 << 18, 1 << 20},
      {4096, 512, 1 << 20}, {1, 5000, 1 << 20}, {1, 4096, 512}
    };
    for (int[] sizes : impossible) {
      assertBroken(
          "impossible block sizes",
          wire -> {
            wire.untilGo(true);
            wire.expectOption(NBD_OPT_GO);
            wire.infoExport(1 << 20, FLAGS);
            wire.replyToOption(
                NBD_OPT_GO,
                NBD_REP_INFO,
                Bytes.of().u16(3).u32(sizes[0]).u32(sizes[1]).u32(sizes[2]).array());
            wire.ack(NBD_OPT_GO);
            wire.awaitEnd();
          });
    }
  }

  @Test
  void dataBeforeAnyRequest() throws Exception {
    assertBroken(
        "before it was asked",
        wire -> {
          wire.untilGo(true);
          wire.expectOption(NBD_OPT_GO);
          wire.gather();
          wire.infoExport(1 << 20, FLAGS);
          wire.ack(NBD_OPT_GO);
          wire.send(new byte[] {0});
          wire.release();
          wire.awaitEnd();
        });
  }

  @Test
  void anExportThatIsNoDisk() throws Exception {
    assertRefusal(
        Reason.UNSUPPORTED,
        "export is empty",
        refusal(wire -> {
          wire.handshake(true, 0, FLAGS);
          wire.awaitEnd();
        }));
    assertRefusal(
        Reason.UNSUPPORTED,
        "claims a size of 9223372036854775808",
        refusal(wire -> {
          wire.handshake(true, Long.MIN_VALUE, FLAGS);
          wire.awaitEnd();
        }));
  }

  @Test
  void aTornHandshakeSucceeds() throws Exception {
    byte[] all =
        Bytes.of()
            .raw(reply(NBD_OPT_GO, NBD_REP_INFO, Bytes.of().u16(77).u64(5).array()))
            .raw(reply(NBD_OPT_GO, NBD_REP_INFO, Bytes.of().u16(0).u64(1 << 20).u16(1).array()))
            .raw(reply(NBD_OPT_GO, NBD_REP_ACK))
            .array();
    Script script =
        wire -> {
          wire.untilGo(true);
          wire.expectOption(NBD_OPT_GO);
          for (byte one : all) {
            wire.send(new byte[] {one});
          }
          wire.awaitEnd();
        };
    try (ScriptedServer server = ScriptedServer.onTcp(script);
        UringLoops loops = new UringLoops(1);
        BlockTarget target =
            new NbdTargetProvider()
                .open(TargetUri.parse(server.uri("vol")), loops.openContext(Map.of()))) {
      assertEquals(1 << 20, target.geometry().sizeBytes());
    }
  }
}
