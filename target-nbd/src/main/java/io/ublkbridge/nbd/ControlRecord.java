package io.ublkbridge.nbd;

import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.KernelTls;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import javax.net.ssl.SSLException;
import org.bouncycastle.tls.AlertDescription;
import org.bouncycastle.tls.HandshakeType;

/// What the server says about the TLS session itself after the handshake, on a socket whose records
/// the kernel opens.
final class ControlRecord {
  private static final int RECORD_BYTES_MAX = 16 << 10;
  private static final int HANDSHAKE_HEADER_BYTES = 4;

  private ControlRecord() {}

  /// Takes the next one from the socket.
  ///
  /// @return whether the session goes on; false when the server has taken leave
  /// @throws SSLException if the session cannot go on
  /// @throws IOException if the socket fails
  static boolean goesOn(int fd) throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment bytes = arena.allocate(RECORD_BYTES_MAX);
      KernelTls.Received received = KernelTls.receive(fd, bytes);
      int length = received.length();
      if (length < 0) {
        if (length == -Errno.EAGAIN || length == -Errno.EINTR) {
          return true;
        }
        throw new IOException("recvmsg: " + Errno.describe(-length));
      }
      return goesOn(received.type(), bytes.asSlice(0, length));
    }
  }

  /// What a record's content means.
  static boolean goesOn(int type, MemorySegment content) throws SSLException {
    return switch (type) {
      case KernelTls.ALERT -> alert(content);
      case KernelTls.HANDSHAKE -> handshake(content);
      default -> throw new SSLException("the server sent a record of type " + type);
    };
  }

  private static boolean alert(MemorySegment bytes) throws SSLException {
    short description =
        bytes.byteSize() == 2 ? unsignedByte(bytes, 1) : AlertDescription.decode_error;
    if (description == AlertDescription.close_notify) {
      return false;
    }
    // In the JDK's words, which are understood already.
    throw new SSLException("Received fatal alert: " + AlertDescription.getName(description));
  }

  /// Tickets are of no use to us. New keys cannot be given to every kernel: a new connection has
  /// some.
  private static boolean handshake(MemorySegment bytes) throws SSLException {
    int at = 0;
    while (at + HANDSHAKE_HEADER_BYTES <= bytes.byteSize()) {
      short type = unsignedByte(bytes, at);
      if (type != HandshakeType.new_session_ticket) {
        throw new SSLException(
            type == HandshakeType.key_update
                ? "the server changes its keys, which takes a new connection"
                : "the server sent " + HandshakeType.getText(type) + " after the handshake");
      }
      at +=
          HANDSHAKE_HEADER_BYTES
              + (unsignedByte(bytes, at + 1) << 16
                  | unsignedByte(bytes, at + 2) << 8
                  | unsignedByte(bytes, at + 3));
    }
    return true;
  }

  private static short unsignedByte(MemorySegment bytes, int at) {
    return (short) Byte.toUnsignedInt(bytes.get(ValueLayout.JAVA_BYTE, at));
  }
}
