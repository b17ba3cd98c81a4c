package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.Refusals.assertRefusal;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.ublkbridge.target.IoError;
import io.ublkbridge.target.RecordedRequest;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HexFormat;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// TLS with a pre-shared key.
final class PskTlsTest {
  private static final byte[] KEY = "0123456789abcdef0123456789abcdef".getBytes(UTF_8);

  @TempDir Path dir;
  private Path keys = Path.of("");

  @BeforeEach
  void writeKeys() {
    keys =
        TestPki.secret(
            dir.resolve("keys.psk"),
            "# keys\n\nbob:00\nalice:" + HexFormat.of().formatHex(KEY) + "\n");
  }

  private String parameters() {
    return "tls-psk-file=" + keys;
  }

  private TargetOpenException refusal(String user, ServerTls tls) throws Exception {
    MemoryServer disk = new MemoryServer(1 << 20, MemoryServer.ALL_FLAGS, true);
    try (ScriptedServer server = ScriptedServer.onTcp(wire -> disk.run(wire, tls))) {
      return Refusals.refusal(server.secureUri(user, "vol", parameters()), Duration.ofSeconds(10));
    }
  }

  @Test
  void readsAndWrites() throws Exception {
    MemoryServer disk = new MemoryServer(4 << 20, MemoryServer.ALL_FLAGS, true);
    ServerTls tls = ServerTls.psk(Map.of("alice", KEY));
    try (ScriptedServer server = ScriptedServer.onTcp(wire -> disk.run(wire, tls));
        Opened opened = Opened.at(server.secureUri("alice@", "vol", parameters()))) {
      Map<String, Object> details = opened.target().details();
      assertEquals(true, details.get("tls"));
      assertEquals("TLSv1.3", details.get("tlsProtocol"));
      assertEquals("TLS_AES_128_GCM_SHA256", details.get("tlsCipher"));
      assertEquals("psk", details.get("tlsCredentials"));
      assertEquals(true, details.get("tlsPeerVerified"));
      RecordedRequest write = RecordedRequest.write(4096, Bytes.pattern(7, 1 << 20), false);
      RecordedRequest small = RecordedRequest.write(0, Bytes.pattern(3, 512), false);
      opened.submit(write, small);
      assertNull(write.await());
      assertNull(small.await());
      RecordedRequest read = RecordedRequest.read(4096, 1 << 20);
      RecordedRequest first = RecordedRequest.read(0, 512);
      opened.submit(read, first);
      assertNull(read.await());
      assertNull(first.await());
      assertArrayEquals(Bytes.pattern(7, 1 << 20), read.payload());
      assertArrayEquals(Bytes.pattern(3, 512), first.payload());
    }
  }

  @Test
  void wrongKey() throws Exception {
    TargetOpenException refusal = refusal("alice@", ServerTls.psk(Map.of("alice", new byte[32])));
    assertRefusal(Reason.REFUSED, "refused the key of user 'alice'", refusal);
  }

  @Test
  void unknownUser() throws Exception {
    TargetOpenException refusal = refusal("bob@", ServerTls.psk(Map.of("alice", KEY)));
    assertRefusal(Reason.REFUSED, "the key of user 'bob'", refusal);
  }

  @Test
  void serverWithCertificatesInsteadOfKeys() throws Exception {
    TestPki pki = new TestPki("CA");
    ServerTls tls = ServerTls.x509(TestPki.context(pki.server(), pki), false);
    assertRefusal(Reason.REFUSED, "the key of user 'alice'", refusal("alice@", tls));
  }

  /// As nbdkit and qemu-nbd answer a wrong key.
  @Test
  void aServerThatHangsUpDoesNotLikeTheKey() throws Exception {
    TargetOpenException refusal =
        refusal(
            "alice@",
            socket -> {
              socket.close();
              throw new IOException("closed");
            });
    assertRefusal(Reason.REFUSED, "refused the key of user 'alice': it closed", refusal);
  }

  @Test
  void truncationIsALoss() throws Exception {
    ServerTls tls = ServerTls.psk(Map.of("alice", KEY));
    try (ScriptedServer server =
            ScriptedServer.onTcp(wire -> {
              wire.greet();
              wire.startTls(tls);
              wire.haggle(HeaderForm.STRUCTURED, 1 << 20, MemoryServer.ALL_FLAGS);
              wire.receiveRequest();
            });
        Opened opened =
            Opened.at(
                server.secureUri("alice@", "vol", parameters()),
                1,
                Map.of("loss-timeout", "200ms"))) {
      RecordedRequest read = RecordedRequest.read(0, 4096);
      opened.submit(read);
      assertEquals(IoError.UNREACHABLE, read.await());
    }
  }

  @Test
  void aKeyNeverShows() throws Exception {
    TestPki.secret(keys, "alice:" + HexFormat.of().formatHex(KEY) + "zz\n");
    TargetOpenException refusal = refusal("alice@", ServerTls.psk(Map.of("alice", KEY)));
    assertRefusal(Reason.FAILED, "line 1 of ", refusal);
    for (Throwable cause = refusal; cause != null; cause = cause.getCause()) {
      assertFalse(String.valueOf(cause.getMessage()).contains("3031"), cause.toString());
    }
  }
}
