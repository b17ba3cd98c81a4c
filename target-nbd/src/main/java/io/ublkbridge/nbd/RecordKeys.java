package io.ublkbridge.nbd;

import io.ublkbridge.kernel.KernelTls;
import io.ublkbridge.kernel.KernelTls.Cipher;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Map;

/// What the records of one TLS 1.3 session are protected with, in both directions, from the first
/// one after the handshake on. To be [#close]d as soon as it has been used.
final class RecordKeys implements AutoCloseable {
  /// Those of TLS 1.3 (RFC 8446, appendix B.4).
  private static final Map<String, Cipher> CIPHERS =
      Map.of(
          "TLS_AES_128_GCM_SHA256", Cipher.AES_128_GCM,
          "TLS_AES_256_GCM_SHA384", Cipher.AES_256_GCM,
          "TLS_CHACHA20_POLY1305_SHA256", Cipher.CHACHA20_POLY1305);

  private final Cipher cipher;
  private final Direction server;
  private final Direction client;

  /// One direction's.
  private static final class Direction {
    private final byte[] key;
    private final byte[] iv;

    /// RFC 8446, section 7.3.
    Direction(Cipher cipher, TrafficSecret secret) throws IOException {
      key = secret.expandLabel("key", cipher.keyBytes());
      iv = secret.expandLabel("iv", KernelTls.IV_BYTES);
    }

    void forget() {
      Arrays.fill(key, (byte) 0);
      Arrays.fill(iv, (byte) 0);
    }
  }

  private RecordKeys(Cipher cipher, Direction server, Direction client) {
    this.cipher = cipher;
    this.server = server;
    this.client = client;
  }

  /// Whether records of a suite can be left to the kernel.
  static boolean known(String cipherSuite) {
    return CIPHERS.containsKey(cipherSuite);
  }

  /// Derives them from the secrets of application traffic.
  ///
  /// @param cipherSuite a [#known] one
  /// @param server `server_application_traffic_secret_0`
  /// @param client `client_application_traffic_secret_0`
  static RecordKeys derive(String cipherSuite, TrafficSecret server, TrafficSecret client)
      throws IOException {
    Cipher cipher = CIPHERS.get(cipherSuite);
    if (cipher == null) {
      throw new IllegalArgumentException("no suite of TLS 1.3: " + cipherSuite);
    }
    return new RecordKeys(cipher, new Direction(cipher, server), new Direction(cipher, client));
  }

  /// Hands a socket's records over to the kernel.
  ///
  /// @return whether it takes them; if not, the socket is as it was
  /// @throws IOException if the socket is of no use any more
  boolean startInKernel(int fd) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment receiving = receiving(arena);
      MemorySegment sending = sending(arena);
      try {
        return KernelTls.start(fd, receiving, sending) == 0;
      } finally {
        receiving.fill((byte) 0);
        sending.fill((byte) 0);
      }
    }
  }

  /// Those of the server's records, as the kernel wants them.
  MemorySegment receiving(Arena arena) {
    return KernelTls.keys(arena, cipher, server.key, server.iv);
  }

  /// Those of our records, as the kernel wants them.
  MemorySegment sending(Arena arena) {
    return KernelTls.keys(arena, cipher, client.key, client.iv);
  }

  @Override
  public void close() {
    server.forget();
    client.forget();
  }
}
