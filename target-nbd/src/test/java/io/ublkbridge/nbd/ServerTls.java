package io.ublkbridge.nbd;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.Socket;
import java.security.SecureRandom;
import java.util.Map;
import java.util.Vector;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import org.bouncycastle.tls.AbstractTlsServer;
import org.bouncycastle.tls.BasicTlsPSKExternal;
import org.bouncycastle.tls.CipherSuite;
import org.bouncycastle.tls.ProtocolVersion;
import org.bouncycastle.tls.PskIdentity;
import org.bouncycastle.tls.TlsCredentials;
import org.bouncycastle.tls.TlsPSKExternal;
import org.bouncycastle.tls.TlsServerProtocol;
import org.bouncycastle.tls.crypto.TlsCrypto;
import org.bouncycastle.tls.crypto.impl.jcajce.JcaTlsCryptoProvider;
import org.jspecify.annotations.Nullable;

/// The server's part of TLS, for tests.
@FunctionalInterface
interface ServerTls {
  /// What goes through the session, and how the server takes leave.
  record SecureStreams(InputStream in, OutputStream out, Goodbye goodbye) {}

  /// Sends close_notify.
  @FunctionalInterface
  interface Goodbye {
    void say() throws IOException;
  }

  SecureStreams accept(Socket socket) throws IOException;

  /// With a certificate.
  static ServerTls x509(SSLContext context, boolean wantsCertificate, String... protocols) {
    return socket -> {
      SSLSocket secure = (SSLSocket) context.getSocketFactory().createSocket(socket, null, false);
      secure.setUseClientMode(false);
      secure.setNeedClientAuth(wantsCertificate);
      if (protocols.length > 0) {
        secure.setEnabledProtocols(protocols);
      }
      secure.startHandshake();
      return new SecureStreams(
          secure.getInputStream(), secure.getOutputStream(), secure::shutdownOutput);
    };
  }

  /// With pre-shared keys.
  static ServerTls psk(Map<String, byte[]> keys) {
    return socket -> {
      TlsServerProtocol protocol =
          new TlsServerProtocol(socket.getInputStream(), socket.getOutputStream());
      protocol.accept(new PskServer(keys));
      return new SecureStreams(
          protocol.getInputStream(), protocol.getOutputStream(), protocol::close);
    };
  }

  /// Knows keys by their users.
  final class PskServer extends AbstractTlsServer {
    private final Map<String, byte[]> keys;

    PskServer(Map<String, byte[]> keys) {
      super(crypto());
      this.keys = keys;
    }

    private static TlsCrypto crypto() {
      return new JcaTlsCryptoProvider().create(new SecureRandom());
    }

    @Override
    protected ProtocolVersion[] getSupportedVersions() {
      return ProtocolVersion.TLSv13.only();
    }

    @Override
    protected int[] getSupportedCipherSuites() {
      return new int[] {
        CipherSuite.TLS_AES_128_GCM_SHA256, CipherSuite.TLS_CHACHA20_POLY1305_SHA256
      };
    }

    @Override
    public @Nullable TlsPSKExternal getExternalPSK(
        @SuppressWarnings("rawtypes") Vector identities) {
      for (Object offered : identities.toArray()) {
        byte[] identity = ((PskIdentity) offered).getIdentity();
        byte[] key = keys.get(new String(identity, UTF_8));
        if (key != null) {
          return new BasicTlsPSKExternal(identity, getCrypto().createSecret(key));
        }
      }
      return null;
    }

    @Override
    public @Nullable TlsCredentials getCredentials() {
      return null;
    }
  }
}
