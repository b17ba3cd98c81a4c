package io.ublkbridge.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteOrder;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Sending so that records share segments, shown with a TCP socket without TLS: what arrives is the
/// same. That the kernel makes records of it is the device tests' matter.
final class KernelTlsTest {
  private static final int AF_INET = 2;
  private static final int SOCKADDR_IN_BYTES = 16;
  private static final int PATIENCE_MILLIS = 20_000;

  private Socket peer = new Socket();
  private int fd;

  @BeforeEach
  void connect() throws IOException {
    try (ServerSocket server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
        Arena arena = Arena.ofConfined()) {
      MemorySegment address = arena.allocate(SOCKADDR_IN_BYTES);
      address.set(ValueLayout.JAVA_SHORT, 0, (short) AF_INET);
      address.set(
          ValueLayout.JAVA_SHORT.withOrder(ByteOrder.BIG_ENDIAN), 2, (short) server.getLocalPort());
      MemorySegment.copy(
          server.getInetAddress().getAddress(), 0, address, ValueLayout.JAVA_BYTE, 4, 4);
      fd = Posix.connectedSocket(AF_INET, address);
      assertTrue(fd >= 0, "connected");
      peer = server.accept();
      peer.setSoTimeout(PATIENCE_MILLIS);
    }
  }

  @AfterEach
  void close() throws IOException {
    Posix.close(fd);
    peer.close();
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 16_384, 16_385, 32_768, 131_100})
  void everythingIsSentAtOnce(int length) throws IOException {
    byte[] bytes = randomBytes(length);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment memory = arena.allocateFrom(ValueLayout.JAVA_BYTE, bytes);
      assertEquals(length, KernelTls.send(fd, memory.address(), length));
    }
    assertArrayEquals(bytes, peer.getInputStream().readNBytes(length));
  }

  @Test
  void aFullSocketTakesAPart() throws IOException {
    byte[] bytes = randomBytes(100_003);
    long sent = 0;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment memory = arena.allocateFrom(ValueLayout.JAVA_BYTE, bytes);
      long result;
      do {
        int from = (int) (sent % bytes.length);
        result = KernelTls.send(fd, memory.address() + from, bytes.length - from);
        sent += Math.max(0, result);
      } while (result > 0);
      assertEquals(-Errno.EAGAIN, result);
    }
    byte[] received = peer.getInputStream().readNBytes((int) sent);
    assertEquals(sent, received.length);
    for (int at = 0; at < received.length; at++) {
      assertEquals(bytes[at % bytes.length], received[at], "byte " + at);
    }
  }

  private static byte[] randomBytes(int length) {
    byte[] bytes = new byte[length];
    new Random(length).nextBytes(bytes);
    return bytes;
  }
}
