package io.ublkbridge.kernel;

import static java.lang.foreign.MemoryLayout.PathElement.groupElement;
import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;
import java.nio.charset.StandardCharsets;

/// TLS 1.3 records made and opened by the kernel (`Documentation/networking/tls.rst`,
/// `linux/tls.h`): after a handshake that somebody else has done, a socket is read and written as
/// if it were plain.
///
/// TCP only. Whatever is not application data stays in the socket, fails a plain receive with
/// `EIO`, and is had by [#receive].
public final class KernelTls {
  /// What records are protected with; the keys have a length of their own, the IV has 12 bytes.
  public enum Cipher {
    AES_128_GCM(51, 16, 4),
    AES_256_GCM(52, 32, 4),
    CHACHA20_POLY1305(54, 32, 0);

    private final short type;
    private final int keyBytes;

    /// How much of the IV the kernel calls salt.
    private final int saltBytes;

    Cipher(int type, int keyBytes, int saltBytes) {
      this.type = (short) type;
      this.keyBytes = keyBytes;
      this.saltBytes = saltBytes;
    }

    public int keyBytes() {
      return keyBytes;
    }
  }

  /// The content types of records that concern the connection (RFC 8446, section 5.1).
  public static final int ALERT = 21;

  public static final int HANDSHAKE = 22;

  public static final int IV_BYTES = 12;

  static final StructLayout MESSAGE =
      MemoryLayout.structLayout(
              ADDRESS.withName("msg_name"),
              JAVA_INT.withName("msg_namelen"),
              MemoryLayout.paddingLayout(4),
              ADDRESS.withName("msg_iov"),
              JAVA_LONG.withName("msg_iovlen"),
              ADDRESS.withName("msg_control"),
              JAVA_LONG.withName("msg_controllen"),
              JAVA_INT.withName("msg_flags"),
              MemoryLayout.paddingLayout(4))
          .withName("msghdr");

  /// A `struct cmsghdr` with one byte of data, padded as `CMSG_SPACE` is.
  static final StructLayout CONTROL =
      MemoryLayout.structLayout(
              JAVA_LONG.withName("cmsg_len"),
              JAVA_INT.withName("cmsg_level"),
              JAVA_INT.withName("cmsg_type"),
              JAVA_BYTE.withName("data"),
              MemoryLayout.paddingLayout(7))
          .withName("cmsghdr");

  private static final int AF_INET = 2;
  private static final int SOL_TCP = 6;
  private static final int TCP_ULP = 31;
  private static final int SOL_TLS = 282;
  private static final int TLS_TX = 1;
  private static final int TLS_RX = 2;
  private static final int TLS_RX_EXPECT_NO_PAD = 4;
  private static final byte TLS_SET_RECORD_TYPE = 1;
  private static final short TLS_1_3_VERSION = 0x0304;
  private static final int SEQUENCE_BYTES = 8;

  /// What a record holds at most (RFC 8446, section 5.1).
  private static final int RECORD_BYTES = 1 << 14;

  private static final byte ALERT_LEVEL_WARNING = 1;
  private static final byte ALERT_CLOSE_NOTIFY = 0;

  private KernelTls() {}

  /// Whether this kernel can do it. May load a module, which takes a while: not for event loops.
  ///
  /// @return 0 if it can, or a negative error number that says why not
  public static int availability() {
    int fd = Posix.streamSocket(AF_INET);
    if (fd < 0) {
      return fd;
    }
    int result = attach(fd);
    Posix.close(fd);
    // It knows what is wanted, and wants to be connected first.
    return result == -Errno.ENOTCONN ? 0 : result;
  }

  private static int attach(int fd) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment name = arena.allocateFrom(JAVA_BYTE, "tls".getBytes(StandardCharsets.US_ASCII));
      return Posix.setSocketOption(fd, SOL_TCP, TCP_ULP, name);
    }
  }

  /// Hands a connected socket's records over, both directions from their first record on.
  ///
  /// @param receiving of the peer's records, made by [#keys]
  /// @param sending of ours
  /// @return 0; or a negative error number, and the socket is as it was
  /// @throws IOException if only one direction was handed over: the socket is of no use then
  public static int start(int fd, MemorySegment receiving, MemorySegment sending)
      throws IOException {
    int result = attach(fd);
    if (result == 0) {
      result = Posix.setSocketOption(fd, SOL_TLS, TLS_RX, receiving);
    }
    if (result < 0) {
      return result;
    }
    result = Posix.setSocketOption(fd, SOL_TLS, TLS_TX, sending);
    if (result < 0) {
      throw new IOException(
          "the kernel takes the keys of one direction of TLS only: " + Errno.describe(-result));
    }
    try (Arena arena = Arena.ofConfined()) {
      // Nobody pads records of NBD; where somebody does, it only costs another copy.
      var _ =
          Posix.setSocketOption(fd, SOL_TLS, TLS_RX_EXPECT_NO_PAD, arena.allocateFrom(JAVA_INT, 1));
    }
    return 0;
  }

  /// One direction's keys as the kernel wants them (`struct tls12_crypto_info_*`).
  ///
  /// @param key of the cipher's length
  /// @param iv of [#IV_BYTES]
  public static MemorySegment keys(Arena arena, Cipher cipher, byte[] key, byte[] iv) {
    if (key.length != cipher.keyBytes || iv.length != IV_BYTES) {
      throw new IllegalArgumentException("no keys of " + cipher);
    }
    // Behind version and type: the rest of the IV, the key, the salt, the number of the first
    // record.
    MemorySegment info = arena.allocate(4L + IV_BYTES + key.length + SEQUENCE_BYTES, Short.BYTES);
    info.set(JAVA_SHORT, 0, TLS_1_3_VERSION);
    info.set(JAVA_SHORT, 2, cipher.type);
    int at = 4;
    int restBytes = IV_BYTES - cipher.saltBytes;
    MemorySegment.copy(iv, cipher.saltBytes, info, JAVA_BYTE, at, restBytes);
    at += restBytes;
    MemorySegment.copy(key, 0, info, JAVA_BYTE, at, key.length);
    at += key.length;
    MemorySegment.copy(iv, 0, info, JAVA_BYTE, at, cipher.saltBytes);
    return info;
  }

  /// As [Posix#send] to a socket whose records the kernel makes. Each record would go through TCP
  /// by itself: all but the last wait, so that they fill segments.
  ///
  /// @param lengthBytes more than 0
  public static long send(int fd, long address, int lengthBytes) {
    int waiting = (lengthBytes - 1) / RECORD_BYTES * RECORD_BYTES;
    long sent = waiting == 0 ? 0 : Posix.send(fd, address, waiting, true);
    if (sent < waiting) {
      return sent;
    }
    long last = Posix.send(fd, address + waiting, lengthBytes - waiting, false);
    // What is wrong with the last one will be said when it is tried again.
    return last < 0 && waiting > 0 ? waiting : waiting + last;
  }

  /// What the peer has sent about the connection.
  ///
  /// @param type its content type
  /// @param length in bytes
  public record Received(int type, int length) {}

  /// Takes a record, or what fits, from the socket; never waits.
  ///
  /// @return its length is a negative error number if there is none
  public static Received receive(int fd, MemorySegment into) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment control = arena.allocate(CONTROL);
      long length = Posix.receiveMessage(fd, message(arena, into, control));
      return new Received(control.get(JAVA_BYTE, offset(CONTROL, "data")), (int) length);
    }
  }

  /// Takes leave of the peer (RFC 8446, section 6.1).
  ///
  /// @return 0 or more, or a negative error number
  public static long sendCloseNotify(int fd) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment control = arena.allocate(CONTROL);
      control.set(JAVA_LONG, offset(CONTROL, "cmsg_len"), offset(CONTROL, "data") + 1);
      control.set(JAVA_INT, offset(CONTROL, "cmsg_level"), SOL_TLS);
      control.set(JAVA_INT, offset(CONTROL, "cmsg_type"), TLS_SET_RECORD_TYPE);
      control.set(JAVA_BYTE, offset(CONTROL, "data"), (byte) ALERT);
      MemorySegment alert = arena.allocateFrom(JAVA_BYTE, ALERT_LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
      return Posix.sendMessage(fd, message(arena, alert, control));
    }
  }

  private static MemorySegment message(Arena arena, MemorySegment bytes, MemorySegment control) {
    MemorySegment iovec = arena.allocate(ADDRESS.byteSize() + Long.BYTES, Long.BYTES);
    iovec.set(ADDRESS, 0, bytes);
    iovec.set(JAVA_LONG, ADDRESS.byteSize(), bytes.byteSize());
    MemorySegment message = arena.allocate(MESSAGE);
    message.set(ADDRESS, offset(MESSAGE, "msg_iov"), iovec);
    message.set(JAVA_LONG, offset(MESSAGE, "msg_iovlen"), 1);
    message.set(ADDRESS, offset(MESSAGE, "msg_control"), control);
    message.set(JAVA_LONG, offset(MESSAGE, "msg_controllen"), control.byteSize());
    return message;
  }

  private static long offset(StructLayout layout, String field) {
    return layout.byteOffset(groupElement(field));
  }
}
