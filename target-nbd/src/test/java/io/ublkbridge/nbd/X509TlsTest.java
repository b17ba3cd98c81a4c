package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.Refusals.assertRefusal;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.IoEventLoop;
import io.netty.channel.embedded.EmbeddedChannel;
import io.netty.handler.ssl.OpenSsl;
import io.netty.handler.ssl.SslHandler;
import io.netty.handler.ssl.SslProvider;
import io.ublkbridge.nbd.NbdDialer.Wish;
import io.ublkbridge.nbd.TestPki.Holder;
import io.ublkbridge.target.RecordedRequest;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import io.ublkbridge.target.TargetUri;
import io.ublkbridge.target.UringLoops;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import javax.net.ssl.SSLEngine;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/// TLS with certificates, by either implementation.
@ParameterizedClass
@EnumSource(names = {"OPENSSL_REFCNT", "JDK"})
final class X509TlsTest {
  @TempDir Path dir;

  @Parameter SslProvider provider = SslProvider.JDK;

  private final TestPki pki = new TestPki("the CA");
  private final UringLoops loops = new UringLoops(1);
  private final IoEventLoop loop = loops.next();

  @BeforeEach
  void bothImplementationsAreHere() {
    assertTrue(OpenSsl.isAvailable(), () -> String.valueOf(OpenSsl.unavailabilityCause()));
  }

  @AfterEach
  void closeLoops() {
    loops.close();
  }

  private static ScriptedServer serving(ServerTls tls) throws Exception {
    MemoryServer disk = new MemoryServer(8 << 20, MemoryServer.ALL_FLAGS, true);
    return ScriptedServer.onTcp(wire -> disk.run(wire, tls));
  }

  private ServerTls with(Holder server, String... protocols) {
    return ServerTls.x509(TestPki.context(server, pki), false, protocols);
  }

  private ServerTls wantingCertificates() {
    return ServerTls.x509(TestPki.context(pki.server(), pki), true);
  }

  private NbdConnection dial(String text) throws Exception {
    NbdUri uri = NbdUri.parse(TargetUri.parse(text)).with(loops.openContext(Map.of()));
    TlsSettings settings = uri.tls().orElseThrow();
    NbdDialer dialer = new NbdDialer(uri, Duration.ofSeconds(10));
    try (TlsClient tls =
        X509Tls.load(settings, settings.peerName(uri.endpoint()), provider, true)) {
      return dialer.dial(loop, new Wish(Purpose.USE, tls));
    }
  }

  private NbdConnection dial(ScriptedServer server, String parameters) throws Exception {
    return dial(server.secureUri("", "vol", "tls-certificates=" + dir + parameters));
  }

  private void assertAccepted(ServerTls tls, String parameters) throws Exception {
    try (ScriptedServer server = serving(tls)) {
      dial(server, parameters).close();
    }
  }

  private void assertRefused(String words, ServerTls tls, String parameters) throws Exception {
    try (ScriptedServer server = serving(tls)) {
      assertRefusal(
          Reason.REFUSED,
          words,
          assertThrows(TargetOpenException.class, () -> dial(server, parameters)));
    }
  }

  private static TlsFacts facts(NbdConnection connection) {
    return Objects.requireNonNull(connection.tls());
  }

  private void assertKeeps(NbdConnection connection) {
    RecordedRequest write = RecordedRequest.write(4096, Bytes.pattern(7, 4 << 20), false);
    RecordedRequest small = RecordedRequest.write(0, Bytes.pattern(3, 512), false);
    RecordedRequest read = RecordedRequest.read(4096, 4 << 20);
    RecordedRequest first = RecordedRequest.read(0, 512);
    UringLoops.run(
        loop,
        () -> {
          connection.start(write, NbdProtocol.NBD_CMD_WRITE, 0, null);
          connection.start(small, NbdProtocol.NBD_CMD_WRITE, 0, null);
          connection.start(read, NbdProtocol.NBD_CMD_READ, 0, null);
          connection.start(first, NbdProtocol.NBD_CMD_READ, 0, null);
          connection.flush();
          return "";
        });
    assertNull(write.await());
    assertNull(small.await());
    assertNull(read.await());
    assertNull(first.await());
    assertArrayEquals(Bytes.pattern(7, 4 << 20), read.payload());
    assertArrayEquals(Bytes.pattern(3, 512), first.payload());
  }

  @Test
  void keepsWhatIsWritten() throws Exception {
    pki.directory(dir);
    for (String protocol : new String[] {"TLSv1.3", "TLSv1.2"}) {
      try (ScriptedServer server = serving(with(pki.server(), protocol))) {
        NbdConnection connection = dial(server, "");
        TlsFacts facts = facts(connection);
        assertEquals(protocol, facts.protocol());
        assertTrue(facts.cipher().startsWith("TLS_"), facts.cipher());
        assertTrue(facts.peerVerified());
        assertKeeps(connection);
        connection.close();
      }
    }
  }

  @Test
  void ourCertificateIsShown() throws Exception {
    pki.directory(dir, pki.client());
    assertAccepted(wantingCertificates(), "");
  }

  @Test
  void filesAreReadForEachConnectionAnew() throws Exception {
    pki.directory(dir);
    try (ScriptedServer server = serving(with(pki.server()))) {
      NbdUri uri =
          NbdUri.parse(TargetUri.parse(server.secureUri("", "vol", "tls-certificates=" + dir)));
      NbdDialer dialer = new NbdDialer(uri, Duration.ofSeconds(10));
      dialer.dial(loop, Purpose.USE).close();
      new TestPki("another CA").directory(dir);
      assertRefusal(
          Reason.REFUSED,
          "not trusted here",
          assertThrows(TargetOpenException.class, () -> dialer.dial(loop, Purpose.USE)));
      pki.directory(dir);
      dialer.dial(loop, Purpose.USE).close();
    }
  }

  @Test
  void wantOfACertificate() throws Exception {
    pki.directory(dir);
    assertRefused("a certificate of ours", wantingCertificates(), "");
  }

  @Test
  void ourCertificateIsRefused() throws Exception {
    pki.directory(dir, new TestPki("another CA").client());
    assertRefused("our certificate", wantingCertificates(), "");
  }

  @Test
  void wrongAuthority() throws Exception {
    new TestPki("another CA").directory(dir);
    assertRefused(
        "the server's certificate is signed by a CA that is not trusted here: CN=the CA",
        with(pki.server()),
        "");
    // Even one of the same name.
    new TestPki("the CA").directory(dir);
    assertRefused("a CA that is not trusted here: CN=the CA", with(pki.server()), "");
  }

  @Test
  void theSystemsAuthoritiesDoNotIncludeOurs() throws Exception {
    try (ScriptedServer server = serving(with(pki.server()))) {
      TargetOpenException refusal =
          assertThrows(TargetOpenException.class, () -> dial(server.secureUri("", "vol", "")));
      assertRefusal(Reason.REFUSED, "a CA that is not trusted here", refusal);
      assertEquals(
          "name the directory of the server's CA: --tls-certificates DIR", refusal.remedy());
    }
  }

  @Test
  void wrongName() throws Exception {
    pki.directory(dir);
    assertRefused(
        "the server's certificate is for db1.example.org, 10.0.0.1, not for localhost",
        with(pki.server("db1.example.org", "10.0.0.1")),
        "");
    assertRefused(
        "is for localhost, 127.0.0.1, not for db2", with(pki.server()), "&tls-hostname=db2");
    assertAccepted(with(pki.server("db1.example.org")), "&tls-hostname=db1.example.org");
  }

  @Test
  void addressesAreNamesToo() throws Exception {
    pki.directory(dir);
    for (boolean known : new boolean[] {true, false}) {
      try (ScriptedServer server =
          serving(with(known ? pki.server("127.0.0.1") : pki.server("localhost")))) {
        String uri =
            server
                .secureUri("", "vol", "tls-certificates=" + dir)
                .replace("localhost", "127.0.0.1");
        if (known) {
          dial(uri).close();
        } else {
          assertRefusal(
              Reason.REFUSED,
              "is for localhost, not for 127.0.0.1",
              assertThrows(TargetOpenException.class, () -> dial(uri)));
        }
      }
    }
  }

  @Test
  void outOfDate() throws Exception {
    pki.directory(dir);
    assertRefused("the server's certificate expired on 20", with(pki.expired()), "");
    assertRefused("certificate is valid only from 20", with(pki.notYetValid()), "");
  }

  @Test
  void revocation() throws Exception {
    pki.directory(dir);
    Holder good = pki.server();
    Holder bad = pki.server();
    Path list = dir.resolve("ca-crl.pem");
    TestPki.write(list, pki.revocationList(Instant.now().plusSeconds(3600), bad));
    assertAccepted(with(good), "");
    assertRefused("the server's certificate was revoked", with(bad), "");
    TestPki.write(list, pki.revocationList(Instant.now().minusSeconds(3600), bad));
    assertRefused("ca-crl.pem has no list of its CA that is in force", with(good), "");
  }

  @Test
  void verificationIsLeftOutOnRequestOnly() throws Exception {
    new TestPki("another CA").directory(dir);
    try (ScriptedServer server = serving(with(pki.server("elsewhere")))) {
      NbdConnection connection = dial(server, "&tls-verify-peer=0");
      assertEquals(false, facts(connection).peerVerified());
      assertKeeps(connection);
      connection.close();
    }
  }

  @Test
  void theServerHangsUpInTheMiddle() throws Exception {
    pki.directory(dir);
    assertRefused(
        "closed the connection during the TLS handshake",
        socket -> {
          socket.close();
          throw new IOException("closed");
        },
        "");
  }

  @Test
  void theServerDoesNotSpeakTls() throws Exception {
    pki.directory(dir);
    assertRefused(
        "the server agreed to TLS, but what it sends is something else",
        socket -> {
          socket.getOutputStream().write(Refusals.reply(NbdProtocol.NBD_OPT_STARTTLS, 1));
          socket.getInputStream().transferTo(OutputStream.nullOutputStream());
          throw new IOException("the client is gone");
        },
        "");
  }

  /// The room behind what was written belongs to whoever has written it.
  @Test
  void nothingIsWrittenIntoTheBuffersThatAreSent() throws Exception {
    TlsSettings settings =
        TlsSettings.of(Map.of("tls-certificates", pki.directory(dir) + ""), null);
    SSLEngine engine = TestPki.context(pki.server(), pki).createSSLEngine();
    engine.setUseClientMode(false);
    EmbeddedChannel server = new EmbeddedChannel(new SslHandler(engine));
    EmbeddedChannel client = new EmbeddedChannel();
    try (TlsClient tls = X509Tls.load(settings, Optional.of("localhost"), provider, true)) {
      client.pipeline().addLast(tls.newHandler(client));
    }
    while (transfer(client, server) || transfer(server, client)) {
      assertNull(client.readInbound());
    }
    ByteBuf first = Unpooled.directBuffer(64 << 10, 64 << 10);
    first.writeZero(64 << 10).writerIndex(28);
    var _ = client.write(first.retain());
    var _ = client.write(Unpooled.directBuffer().writeZero(64).setByte(0, 1));
    client.flush();
    assertEquals(1, first.refCnt(), "what was sent is let go of");
    for (int i = 0; i < first.capacity(); i++) {
      assertEquals(0, first.getByte(i), "byte " + i);
    }
    assertTrue(transfer(client, server));
    first.release();
    client.finishAndReleaseAll();
    server.finishAndReleaseAll();
  }

  private static boolean transfer(EmbeddedChannel from, EmbeddedChannel to) {
    boolean any = false;
    from.runPendingTasks();
    for (ByteBuf bytes = from.readOutbound(); bytes != null; bytes = from.readOutbound()) {
      to.writeInbound(bytes);
      any = true;
    }
    return any;
  }
}
