package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.Refusals.assertRefusal;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.ublkbridge.nbd.TestPki.Holder;
import io.ublkbridge.target.RecordedRequest;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// TLS with certificates.
final class X509TlsTest {
  @TempDir Path dir;

  private final TestPki pki = new TestPki("the CA");

  private static ScriptedServer serving(MemoryServer disk, ServerTls tls) throws Exception {
    return ScriptedServer.onTcp(wire -> disk.run(wire, tls));
  }

  private TargetOpenException refusal(ServerTls tls, Path certificates) throws Exception {
    try (ScriptedServer server =
        serving(new MemoryServer(1 << 20, MemoryServer.ALL_FLAGS, true), tls)) {
      return Refusals.refusal(
          server.secureUri("", "vol", "tls-certificates=" + certificates), Duration.ofSeconds(10));
    }
  }

  private ServerTls with(Holder server) {
    return ServerTls.x509(TestPki.context(server, pki), false);
  }

  @Test
  void readsAndWrites() throws Exception {
    MemoryServer disk = new MemoryServer(1 << 20, MemoryServer.ALL_FLAGS, true);
    try (ScriptedServer server = serving(disk, with(pki.server()));
        Opened opened =
            Opened.at(server.secureUri("", "vol", "tls-certificates=" + pki.directory(dir)))) {
      assertEquals(true, opened.target().details().get("tls"));
      assertEquals("TLSv1.3", opened.target().details().get("tlsProtocol"));
      assertEquals(true, opened.target().details().get("tlsPeerVerified"));
      RecordedRequest write = RecordedRequest.write(4096, Bytes.pattern(7, 300_000), false);
      opened.submit(write);
      assertNull(write.await());
      RecordedRequest read = RecordedRequest.read(4096, 300_000);
      opened.submit(read);
      assertNull(read.await());
      assertArrayEquals(Bytes.pattern(7, 300_000), read.payload());
    }
  }

  @Test
  void wrongAuthority() throws Exception {
    TestPki other = new TestPki("another CA");
    assertRefusal(
        Reason.REFUSED,
        "not trusted here: CN=the CA",
        refusal(with(pki.server()), other.directory(dir)));
  }
}
