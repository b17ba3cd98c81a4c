package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_ABORT;
import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_STARTTLS;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.ublkbridge.nbd.ScriptedServer.Request;
import io.ublkbridge.nbd.ScriptedServer.Script;
import io.ublkbridge.target.RecordedRequest;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Connections inside TLS that are lost and come back.
final class TlsReconnectTest {
  private static final int SIZE = 1 << 20;
  private static final byte[] KEY = new byte[32];

  @TempDir Path dir;

  /// The n-th connection follows the n-th script.
  private static Script inTurn(Script... scripts) {
    AtomicInteger connections = new AtomicInteger();
    return wire -> scripts[connections.getAndIncrement()].run(wire);
  }

  private static Script secure(ServerTls tls, Script transmission) {
    return wire -> {
      wire.greet();
      wire.startTls(tls);
      wire.haggle(HeaderForm.STRUCTURED, SIZE, MemoryServer.ALL_FLAGS);
      transmission.run(wire);
    };
  }

  /// Takes one WRITE without an answer, and goes.
  private static Script dying() {
    return wire -> {
      wire.receiveRequest();
      wire.reset();
    };
  }

  private static Script acknowledging(CompletableFuture<Request> seen) {
    return wire -> {
      Request write = wire.receiveRequest();
      wire.simpleReply(0, write.cookie());
      seen.complete(write);
      wire.awaitEnd();
    };
  }

  private static ServerTls tls(TestPki pki) {
    return ServerTls.x509(TestPki.context(pki.server(), pki), false);
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void writesAreSentAgainInsideTheNextSession(boolean psk) throws Exception {
    TestPki pki = new TestPki("CA");
    ServerTls tls = psk ? ServerTls.psk(Map.of("alice", KEY)) : tls(pki);
    TestPki.secret(dir.resolve("keys.psk"), "alice:" + "00".repeat(KEY.length) + "\n");
    String parameters =
        psk ? "tls-psk-file=" + dir.resolve("keys.psk") : "tls-certificates=" + pki.directory(dir);
    CompletableFuture<Request> seen = new CompletableFuture<>();
    try (ScriptedServer server =
            ScriptedServer.onTcp(inTurn(secure(tls, dying()), secure(tls, acknowledging(seen))));
        Opened opened = Opened.at(server.secureUri(psk ? "alice@" : "", "vol", parameters))) {
      RecordedRequest write = RecordedRequest.write(512, Bytes.pattern(1, 70_000), false);
      opened.submit(write);
      assertNull(write.await());
      assertArrayEquals(Bytes.pattern(1, 70_000), seen.get(10, TimeUnit.SECONDS).payload());
    }
  }

  @Test
  void aRenewedAuthorityCountsFromTheNextConnectionOn() throws Exception {
    TestPki old = new TestPki("old CA");
    TestPki renewed = new TestPki("new CA");
    CompletableFuture<Request> seen = new CompletableFuture<>();
    Script renewing =
        wire -> {
          wire.receiveRequest();
          renewed.directory(dir);
          wire.reset();
        };
    try (ScriptedServer server =
            ScriptedServer.onTcp(
                inTurn(secure(tls(old), renewing), secure(tls(renewed), acknowledging(seen))));
        Opened opened =
            Opened.at(server.secureUri("", "vol", "tls-certificates=" + old.directory(dir)))) {
      RecordedRequest write = RecordedRequest.write(0, Bytes.pattern(2, 512), false);
      opened.submit(write);
      assertNull(write.await());
    }
  }

  /// What waits is never sent in plain text, nor to a server that cannot prove who it is.
  @Test
  void requestsWaitForTheServerThatWasMeant() throws Exception {
    TestPki pki = new TestPki("CA");
    CompletableFuture<Request> seen = new CompletableFuture<>();
    Script plain =
        wire -> {
          wire.greet();
          wire.expectOption(NBD_OPT_STARTTLS);
          wire.refuse(NBD_OPT_STARTTLS, NbdProtocol.NBD_REP_ERR_UNSUP, "no");
          wire.expectOption(NBD_OPT_ABORT);
        };
    Script impostor =
        secure(
            tls(new TestPki("CA")),
            wire -> {
              throw new AssertionError("the client trusts an impostor");
            });
    try (ScriptedServer server =
            ScriptedServer.onTcp(
                inTurn(
                    secure(tls(pki), dying()),
                    plain,
                    impostor,
                    secure(tls(pki), acknowledging(seen))));
        Opened opened =
            Opened.at(server.secureUri("", "vol", "tls-certificates=" + pki.directory(dir)))) {
      RecordedRequest write = RecordedRequest.write(0, Bytes.pattern(3, 512), false);
      opened.submit(write);
      assertNull(write.await());
    }
  }
}
