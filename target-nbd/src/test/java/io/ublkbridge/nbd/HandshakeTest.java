package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_ABORT;
import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_EXPORT_NAME;
import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_EXTENDED_HEADERS;
import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_GO;
import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_LIST;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REP_ACK;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REP_INFO;
import static io.ublkbridge.nbd.Refusals.assertBroken;
import static io.ublkbridge.nbd.Refusals.assertRefusal;
import static io.ublkbridge.nbd.Refusals.refusal;
import static io.ublkbridge.nbd.Refusals.reply;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.ublkbridge.nbd.ScriptedServer.Script;
import io.ublkbridge.nbd.ScriptedServer.Wire;
import io.ublkbridge.target.RecordedRequest;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// What a person is told when the export cannot be opened, for everything that a server can do.
final class HandshakeTest {
  private static final int FLAGS = NbdProtocol.NBD_FLAG_HAS_FLAGS;

  @TempDir Path directory;

  // Nobody there, or somebody else.

  @Test
  void nobodyListens() throws Exception {
    int port;
    try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      port = socket.getLocalPort();
    }
    TargetOpenException refusal =
        refusal("nbd://127.0.0.1:" + port + "/vol", Duration.ofSeconds(10));
    assertRefusal(Reason.UNREACHABLE, "connection refused", refusal);
    assertEquals("is the NBD server running and reachable?", refusal.remedy());
  }

  @Test
  void theSocketIsMissing() throws Exception {
    assertRefusal(
        Reason.UNREACHABLE,
        "no such socket",
        refusal("nbd+unix:///?socket=" + directory.resolve("none"), Duration.ofSeconds(10)));
  }

  @Test
  void theHostIsUnknown() throws Exception {
    assertRefusal(
        Reason.UNREACHABLE,
        "host 'nowhere.invalid' is not known",
        refusal("nbd://nowhere.invalid/", Duration.ofSeconds(10)));
  }

  @Test
  void somethingElseListens() throws Exception {
    assertBroken(
        "does not speak NBD",
        wire -> {
          wire.send("SSH-2.0-OpenSSH_9.2\r\n".getBytes(StandardCharsets.US_ASCII));
          wire.awaitEnd();
        });
  }

  @Test
  void theServerClosesAtOnce() throws Exception {
    assertBroken("without a greeting", wire -> {});
    assertBroken("without a greeting", Wire::reset);
  }

  @Test
  void oldstyle() throws Exception {
    assertRefusal(
        Reason.UNSUPPORTED,
        "oldstyle",
        refusal(wire -> {
          wire.send(Bytes.of().u64(NbdProtocol.NBDMAGIC).u64(NbdProtocol.OLDSTYLE_MAGIC).array());
          wire.send(new byte[136]);
          wire.awaitEnd();
        }));
    assertRefusal(
        Reason.UNSUPPORTED,
        "unfixed newstyle",
        refusal(wire -> {
          wire.greet(0);
          wire.awaitEnd();
        }));
  }

  @Test
  void wrongSecondMagic() throws Exception {
    assertBroken(
        "does not speak NBD",
        wire -> {
          wire.send(Bytes.of().u64(NbdProtocol.NBDMAGIC).u64(1).u16(3).array());
          wire.awaitEnd();
        });
  }

  /// The connection ends after so many bytes of an honest handshake, orderly or not.
  @ParameterizedTest
  @ValueSource(ints = {0, 1, 8, 17, 18, 19, 37, 38, 58, 69, 70, 71, 89})
  void theConnectionEndsAnywhere(int bytes) throws Exception {
    byte[] all =
        Bytes.of()
            .u64(NbdProtocol.NBDMAGIC)
            .u64(NbdProtocol.IHAVEOPT)
            .u16(3)
            .raw(reply(NBD_OPT_EXTENDED_HEADERS, NBD_REP_ACK))
            .raw(reply(NBD_OPT_GO, NBD_REP_INFO, Bytes.of().u16(0).u64(1 << 20).u16(1).array()))
            .raw(reply(NBD_OPT_GO, NBD_REP_ACK))
            .array();
    assertEquals(90, all.length);
    for (boolean reset : new boolean[] {false, true}) {
      assertBroken(
          "closed the connection",
          wire -> {
            sendWhenAsked(wire, all, bytes);
            if (reset) {
              wire.reset();
            }
          });
    }
  }

  /// Sends the first `limit` bytes of an honest server's answers, each after its question.
  private static void sendWhenAsked(Wire wire, byte[] all, int limit) throws Exception {
    int[] ends = {18, 38, 90};
    int from = 0;
    for (int i = 0; i < ends.length && from < limit; i++) {
      if (i == 1) {
        wire.receive(4);
      }
      if (i > 0) {
        wire.receiveOption();
      }
      int to = Math.min(ends[i], limit);
      wire.send(Arrays.copyOfRange(all, from, to));
      from = to;
    }
  }

  // Refusals.

  /// Refuses GO, and then expects to be left politely.
  private static Script refusingGo(int error, String text) {
    return wire -> {
      wire.untilGo(true);
      wire.expectOption(NBD_OPT_GO);
      wire.refuse(NBD_OPT_GO, error, text);
      wire.expectOption(NBD_OPT_ABORT);
      wire.ack(NBD_OPT_ABORT);
      wire.awaitEnd();
    };
  }

  @Test
  void tlsIsDemanded() throws Exception {
    TargetOpenException refusal =
        refusal(wire -> {
          wire.greet();
          wire.expectOption(NBD_OPT_EXTENDED_HEADERS);
          wire.refuse(NBD_OPT_EXTENDED_HEADERS, NbdProtocol.NBD_REP_ERR_TLS_REQD, "TLS first");
          wire.expectOption(NBD_OPT_ABORT);
        });
    assertRefusal(Reason.REFUSED, "demands TLS: TLS first", refusal);
    assertRefusal(
        Reason.REFUSED, "demands TLS", refusal(refusingGo(NbdProtocol.NBD_REP_ERR_TLS_REQD, "")));
  }

  @Test
  void theExportIsUnknown() throws Exception {
    TargetOpenException refusal =
        refusal(wire -> {
          wire.untilGo(true);
          wire.expectOption(NBD_OPT_GO);
          wire.refuse(NBD_OPT_GO, NbdProtocol.NBD_REP_ERR_UNKNOWN, "no such\u001b[31m export");
          wire.list("disk1", "disk2");
          wire.expectOption(NBD_OPT_ABORT);
          wire.ack(NBD_OPT_ABORT);
        });
    assertRefusal(
        Reason.FAILED, "the server does not know export 'vol': no such [31m export", refusal);
    assertEquals("the server has: 'disk1', 'disk2'", refusal.remedy());
  }

  @Test
  void theExportIsUnknownAndTheListIsSecret() throws Exception {
    TargetOpenException refusal =
        refusal(wire -> {
          wire.untilGo(true);
          wire.expectOption(NBD_OPT_GO);
          wire.refuse(NBD_OPT_GO, NbdProtocol.NBD_REP_ERR_UNKNOWN, "");
          wire.expectOption(NBD_OPT_LIST);
          wire.refuse(NBD_OPT_LIST, NbdProtocol.NBD_REP_ERR_POLICY, "");
          wire.expectOption(NBD_OPT_ABORT);
        });
    assertRefusal(Reason.FAILED, "does not know export 'vol'", refusal);
  }

  @Test
  void theDefaultExportIsUnknown() throws Exception {
    TargetOpenException refusal =
        refusal(
            wire -> {
              wire.untilGo(true);
              wire.expectOption(NBD_OPT_GO);
              wire.refuse(NBD_OPT_GO, NbdProtocol.NBD_REP_ERR_UNKNOWN, "");
              wire.list("disk1");
              wire.expectOption(NBD_OPT_ABORT);
            },
            "",
            Duration.ofSeconds(10));
    assertRefusal(Reason.FAILED, "does not know the default export", refusal);
    assertEquals("the server has: 'disk1'", refusal.remedy());
  }

  @Test
  void otherRefusalsKeepTheServersWords() throws Exception {
    assertRefusal(
        Reason.REFUSED,
        "does not let this client use export 'vol': not you",
        refusal(refusingGo(NbdProtocol.NBD_REP_ERR_POLICY, "not you")));
    assertRefusal(
        Reason.UNREACHABLE,
        "shutting down: bye",
        refusal(refusingGo(NbdProtocol.NBD_REP_ERR_SHUTDOWN, "bye")));
    assertRefusal(
        Reason.UNSUPPORTED,
        "does not open export 'vol': 4k only",
        refusal(refusingGo(NbdProtocol.NBD_REP_ERR_BLOCK_SIZE_REQD, "4k only")));
    assertRefusal(
        Reason.FAILED,
        "(ERR_PLATFORM): why",
        refusal(refusingGo(NbdProtocol.NBD_REP_ERR_PLATFORM, "why")));
    assertRefusal(
        Reason.FAILED, "(ERR_INVALID)", refusal(refusingGo(NbdProtocol.NBD_REP_ERR_INVALID, "")));
    assertRefusal(
        Reason.FAILED,
        "(error 4660)",
        refusal(refusingGo(NbdProtocol.NBD_REP_FLAG_ERROR | 0x1234, "")));
  }

  // The only way to open an export of an old server.

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void exportNameIsUsedWhenGoIsUnknown(boolean noZeroes) throws Exception {
    CompletableFuture<String> asked = new CompletableFuture<>();
    Script script =
        wire -> {
          wire.greet(noZeroes ? 3 : 1);
          assertEquals(noZeroes ? 3 : 1, ByteBuffer.wrap(wire.receive(4)).getInt());
          wire.agreeOn(HeaderForm.SIMPLE);
          wire.expectOption(NBD_OPT_GO);
          wire.refuse(NBD_OPT_GO, NbdProtocol.NBD_REP_ERR_UNSUP, "");
          asked.complete(
              new String(wire.expectOption(NBD_OPT_EXPORT_NAME).data(), StandardCharsets.UTF_8));
          wire.send(Bytes.of().u64(1 << 20).u16(FLAGS).raw(new byte[noZeroes ? 0 : 124]).array());
          ScriptedServer.Request read = wire.receiveRequest();
          wire.simpleReply(0, read.cookie(), Bytes.pattern(read.offset(), 512));
          wire.awaitEnd();
        };
    try (ScriptedServer server = ScriptedServer.onTcp(script);
        Opened opened = Opened.at(server.uri("v%c3%b6l"))) {
      assertEquals("völ", asked.get(10, TimeUnit.SECONDS));
      RecordedRequest read = RecordedRequest.read(512, 512);
      opened.submit(read);
      assertNull(read.await());
    }
  }

  /// Its reply says nothing of extended headers, so the spec forbids it after them.
  @Test
  void exportNameIsNotUsedWithExtendedHeaders() throws Exception {
    TargetOpenException refusal =
        refusal(wire -> {
          wire.untilGo(HeaderForm.EXTENDED);
          wire.expectOption(NBD_OPT_GO);
          wire.refuse(NBD_OPT_GO, NbdProtocol.NBD_REP_ERR_UNSUP, "no GO");
          wire.expectOption(NBD_OPT_ABORT);
        });
    assertRefusal(Reason.FAILED, "(ERR_UNSUP): no GO", refusal);
  }

  @Test
  void aServerThatClosesOnExportNameHasNoSuchExport() throws Exception {
    assertRefusal(
        Reason.FAILED,
        "closed the connection when asked for the export",
        refusal(wire -> {
          wire.untilGo(false);
          wire.expectOption(NBD_OPT_GO);
          wire.refuse(NBD_OPT_GO, NbdProtocol.NBD_REP_ERR_UNSUP, "");
          wire.expectOption(NBD_OPT_EXPORT_NAME);
        }));
  }
}
