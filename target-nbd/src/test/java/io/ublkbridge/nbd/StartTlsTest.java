package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_ABORT;
import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_EXTENDED_HEADERS;
import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_STARTTLS;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REP_ACK;
import static io.ublkbridge.nbd.Refusals.assertRefusal;
import static io.ublkbridge.nbd.Refusals.reply;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.nbd.ScriptedServer.Script;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.RecordedRequest;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.io.EOFException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// The way from plain text into TLS, and what a session's end means.
final class StartTlsTest {
  private static final Duration LIMIT = Duration.ofSeconds(10);
  private static final byte[] KEY = new byte[32];

  @TempDir Path dir;

  private final TestPki pki = new TestPki("CA");

  @BeforeEach
  void writeFiles() {
    pki.directory(dir);
    TestPki.secret(dir.resolve("keys.psk"), "alice:" + "00".repeat(KEY.length) + "\n");
  }

  private ServerTls tls(boolean psk) {
    return psk
        ? ServerTls.psk(Map.of("alice", KEY))
        : ServerTls.x509(TestPki.context(pki.server(), pki), false);
  }

  private String uri(ScriptedServer server, boolean psk) throws Exception {
    return psk
        ? server.secureUri("alice@", "vol", "tls-psk-file=" + dir.resolve("keys.psk"))
        : server.secureUri("", "vol", "tls-certificates=" + dir);
  }

  private TargetOpenException refusal(Script script) throws Exception {
    try (ScriptedServer server = ScriptedServer.onTcp(script)) {
      return refusalAt(uri(server, false), LIMIT);
    }
  }

  private static TargetOpenException refusalAt(String uri, Duration limit) throws Exception {
    return Refusals.refusal(uri, limit);
  }

  /// Answers STARTTLS, and expects the client to go without another byte.
  private static Script answering(byte[] answer) {
    return wire -> {
      wire.greet();
      wire.expectOption(NBD_OPT_STARTTLS);
      wire.send(answer);
      try {
        byte[] more = wire.receive(1);
        throw new AssertionError("the client goes on with " + more[0]);
      } catch (EOFException asItMust) {
        return;
      }
    };
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 5, 1000})
  void plainTextBehindTheAck(int bytes) throws Exception {
    byte[] answer =
        Bytes.of().raw(reply(NBD_OPT_STARTTLS, NBD_REP_ACK)).raw(new byte[bytes]).array();
    assertRefusal(
        Reason.REFUSED,
        "the server went on in plain text after it agreed to TLS",
        refusal(answering(answer)));
  }

  @Test
  void anInjectedReplyToTheNextOption() throws Exception {
    byte[] answer =
        Bytes.of()
            .raw(reply(NBD_OPT_STARTTLS, NBD_REP_ACK))
            .raw(reply(NBD_OPT_EXTENDED_HEADERS, NBD_REP_ACK))
            .array();
    assertRefusal(Reason.REFUSED, "plain text", refusal(answering(answer)));
  }

  @Test
  void anAckWithData() throws Exception {
    assertRefusal(
        Reason.UNREACHABLE,
        "an ACK of 4 bytes",
        refusal(answering(reply(NBD_OPT_STARTTLS, NBD_REP_ACK, new byte[4]))));
  }

  @Test
  void anAnswerThatIsNone() throws Exception {
    assertRefusal(
        Reason.UNREACHABLE,
        "answered STARTTLS with Server",
        refusal(answering(reply(NBD_OPT_STARTTLS, NbdProtocol.NBD_REP_SERVER, new byte[4]))));
    assertRefusal(
        Reason.UNREACHABLE,
        "answered EXTENDED_HEADERS when STARTTLS was asked",
        refusal(answering(reply(NBD_OPT_EXTENDED_HEADERS, NBD_REP_ACK))));
  }

  /// No fall-back: ABORT is all that the client says after a no.
  @ParameterizedTest
  @CsvSource({
    "1, REFUSED, the server has no TLS: no",
    "2, REFUSED, the server has no TLS: no",
    "3, REFUSED, refused to start TLS (ERR_INVALID): no",
    "5, REFUSED, refused to start TLS",
    "7, UNREACHABLE, shutting down",
  })
  void aNoEndsTheAttempt(int error, Reason reason, String words) throws Exception {
    TargetOpenException refusal =
        refusal(wire -> {
          wire.greet();
          wire.expectOption(NBD_OPT_STARTTLS);
          wire.refuse(NBD_OPT_STARTTLS, NbdProtocol.NBD_REP_FLAG_ERROR | error, "no");
          wire.expectOption(NBD_OPT_ABORT);
        });
    assertRefusal(reason, words, refusal);
  }

  @Test
  void aPlainClientIsToldThatTheServerDemandsTls() throws Exception {
    TargetOpenException refusal =
        Refusals.refusal(wire -> {
          wire.greet();
          wire.expectOption(NBD_OPT_EXTENDED_HEADERS);
          wire.refuse(NBD_OPT_EXTENDED_HEADERS, NbdProtocol.NBD_REP_ERR_TLS_REQD, "TLS please");
          wire.expectOption(NBD_OPT_ABORT);
        });
    assertRefusal(Reason.REFUSED, "the server demands TLS: TLS please", refusal);
    assertTrue(String.valueOf(refusal.remedy()).contains("nbds:"));
  }

  @Test
  void theServerHangsUp() throws Exception {
    assertRefusal(
        Reason.UNREACHABLE,
        "during the handshake, after STARTTLS",
        refusal(wire -> {
          wire.greet();
          wire.expectOption(NBD_OPT_STARTTLS);
        }));
    assertRefusal(
        Reason.REFUSED,
        "during the TLS handshake",
        refusal(wire -> {
          wire.greet();
          wire.expectOption(NBD_OPT_STARTTLS);
          wire.ack(NBD_OPT_STARTTLS);
          wire.receive(5);
          wire.reset();
        }));
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void theServerHangsUpRightAfterTheTlsHandshake(boolean psk) throws Exception {
    try (ScriptedServer server =
        ScriptedServer.onTcp(wire -> {
          wire.greet();
          wire.startTls(tls(psk));
          wire.expectOption(NBD_OPT_EXTENDED_HEADERS);
        })) {
      assertRefusal(
          Reason.REFUSED, "right after the TLS handshake", refusalAt(uri(server, psk), LIMIT));
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void theTlsHandshakeHasADeadline(boolean psk) throws Exception {
    try (ScriptedServer server =
        ScriptedServer.onTcp(wire -> {
          wire.greet();
          wire.expectOption(NBD_OPT_STARTTLS);
          wire.ack(NBD_OPT_STARTTLS);
          wire.awaitEnd();
        })) {
      assertRefusal(
          Reason.TIMED_OUT,
          "did not end the TLS handshake within 300ms",
          refusalAt(uri(server, psk), Duration.ofMillis(300)));
    }
  }

  /// What was agreed on before TLS counts for nothing: the client asks again.
  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void structuredRepliesAreAgreedOnInsideTls(boolean psk) throws Exception {
    byte[] data = Bytes.pattern(0, 4096);
    try (ScriptedServer server =
            ScriptedServer.onTcp(wire -> {
              wire.greet();
              wire.startTls(tls(psk));
              wire.haggle(HeaderForm.STRUCTURED, 1 << 20, MemoryServer.ALL_FLAGS);
              wire.dataReply(wire.receiveRequest(), data);
              wire.awaitEnd();
            });
        Opened opened = Opened.at(uri(server, psk))) {
      assertEquals(true, opened.target().details().get("structuredReplies"));
      RecordedRequest read = RecordedRequest.read(0, 4096);
      opened.submit(read);
      assertEquals(null, read.await());
      assertArrayEquals(data, read.payload());
    }
  }

  /// Runs the end of a session with a request under way, which must fail.
  private void assertLost(boolean psk, Script end) throws Exception {
    try (ScriptedServer server =
            ScriptedServer.onTcp(wire -> {
              wire.greet();
              wire.startTls(tls(psk));
              wire.haggle(HeaderForm.STRUCTURED, 1 << 20, MemoryServer.ALL_FLAGS);
              wire.receiveRequest();
              end.run(wire);
            });
        Opened opened = Opened.at(uri(server, psk), 1, Map.of("loss-timeout", "200ms"))) {
      RecordedRequest read = RecordedRequest.read(0, 4096);
      opened.submit(read);
      assertEquals(IoError.UNREACHABLE, read.await());
      RecordedRequest later = RecordedRequest.read(0, 4096);
      opened.submit(later);
      assertEquals(IoError.UNREACHABLE, later.await());
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void truncationIsALoss(boolean psk) throws Exception {
    assertLost(psk, wire -> {});
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void aGoodbyeIsALossThoughTheSocketStaysOpen(boolean psk) throws Exception {
    assertLost(
        psk,
        wire -> {
          wire.sayGoodbye();
          wire.awaitEnd();
        });
  }

  /// The server must not execute late what it has not read yet.
  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void aDamagedSessionIsResetAtOnce(boolean psk) throws Exception {
    CompletableFuture<Boolean> reset = new CompletableFuture<>();
    assertLost(
        psk,
        wire -> {
          wire.sendPlain("HTTP/1.1 400 Bad Request\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
          reset.complete(wire.awaitReset());
        });
    assertTrue(reset.get(10, TimeUnit.SECONDS), "the socket was closed without a reset");
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void aServerThatStopsReadingIsGivenUp(boolean psk) throws Exception {
    CountDownLatch over = new CountDownLatch(1);
    try (ScriptedServer server =
            ScriptedServer.onTcp(wire -> {
              wire.greet();
              wire.startTls(tls(psk));
              wire.haggle(HeaderForm.STRUCTURED, 1 << 20, MemoryServer.ALL_FLAGS);
              wire.receiveRequest();
              if (!over.await(10, TimeUnit.SECONDS)) {
                throw new AssertionError("the client never gave up");
              }
            });
        Opened opened =
            Opened.at(
                uri(server, psk), 1, Map.of("io-timeout", "200ms", "loss-timeout", "300ms"))) {
      RecordedRequest read = RecordedRequest.read(0, 4096);
      RecordedRequest[] writes = new RecordedRequest[32];
      for (int i = 0; i < writes.length; i++) {
        writes[i] = RecordedRequest.write(0, new byte[1 << 20], false);
      }
      opened.submit(read);
      opened.submit(writes);
      assertEquals(IoError.UNREACHABLE, read.await());
      for (RecordedRequest write : writes) {
        assertEquals(IoError.UNREACHABLE, write.await());
      }
      over.countDown();
    }
  }
}
