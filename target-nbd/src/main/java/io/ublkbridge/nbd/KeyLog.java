package io.ublkbridge.nbd;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.netty.handler.ssl.ReferenceCountedOpenSslContext;
import io.netty.handler.ssl.SslContext;
import io.netty.internal.tcnative.KeyLogCallback;
import io.netty.internal.tcnative.SSLContext;
import java.io.IOException;
import java.lang.reflect.Field;
import java.util.Arrays;
import java.util.HexFormat;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Hears the secrets of a handshake from BoringSSL, which tells them in no other way than by lines
/// for a key log (`draft-ietf-tls-keylogfile`: label, client random, secret, in hexadecimal). They
/// go no further than to [RecordKeys].
///
/// For one handshake at a time, confined to its event loop.
final class KeyLog implements KeyLogCallback {
  private static final Logger LOG = LoggerFactory.getLogger(KeyLog.class);
  private static final String SERVER = "SERVER_TRAFFIC_SECRET_0";
  private static final String CLIENT = "CLIENT_TRAFFIC_SECRET_0";

  private byte[] server = {};
  private byte[] client = {};

  /// Listens to the handshakes of a context.
  ///
  /// @return null if it is not BoringSSL's, or does not tell
  static @Nullable KeyLog of(SslContext context) {
    if (!(context instanceof ReferenceCountedOpenSslContext boring)) {
      return null;
    }
    try {
      // Netty shows the address of BoringSSL's own structure, and this call wants that of the
      // structure around it.
      Field address = ReferenceCountedOpenSslContext.class.getDeclaredField("ctx");
      address.setAccessible(true);
      KeyLog keyLog = new KeyLog();
      return SSLContext.setKeyLogCallback(address.getLong(boring), keyLog) ? keyLog : null;
    } catch (ReflectiveOperationException | RuntimeException e) {
      LOG.info("TLS records are made by this process: BoringSSL does not tell its keys ({})", e);
      return null;
    }
  }

  @Override
  public void handle(long ssl, byte[] line) {
    String[] parts = new String(line, US_ASCII).trim().split(" ", 3);
    if (parts.length != 3) {
      return;
    }
    switch (parts[0]) {
      case SERVER -> server = HexFormat.of().parseHex(parts[2]);
      case CLIENT -> client = HexFormat.of().parseHex(parts[2]);
      default -> {}
    }
  }

  /// The keys of the session that has just been agreed on, once.
  ///
  /// @return null if its secrets were not told
  @Nullable RecordKeys take(String cipherSuite) throws IOException {
    if (server.length == 0 || client.length == 0 || !RecordKeys.known(cipherSuite)) {
      return null;
    }
    String hash = cipherSuite.substring(cipherSuite.lastIndexOf('_') + 1);
    RecordKeys keys =
        RecordKeys.derive(
            cipherSuite, TrafficSecret.of(server, hash), TrafficSecret.of(client, hash));
    Arrays.fill(server, (byte) 0);
    Arrays.fill(client, (byte) 0);
    server = new byte[0];
    client = new byte[0];
    return keys;
  }
}
