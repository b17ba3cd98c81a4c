package io.ublkbridge.nbd;

import java.io.ByteArrayOutputStream;

/// Builds messages byte by byte, big-endian.
final class Bytes {
  private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

  private final boolean extended;
  private final long requestOffset;

  private Bytes(boolean extended, long requestOffset) {
    this.extended = extended;
    this.requestOffset = requestOffset;
  }

  static Bytes of() {
    return new Bytes(false, 0);
  }

  /// Writes the headers of chunks in `headers`' form, as answers to a request at `requestOffset`.
  static Bytes of(HeaderForm headers, long requestOffset) {
    return new Bytes(headers.extendedHeaders(), requestOffset);
  }

  /// `count` bytes that depend on where on the disk they are.
  static byte[] pattern(long offset, int count) {
    byte[] data = new byte[count];
    for (int i = 0; i < count; i++) {
      long at = offset + i;
      data[i] = (byte) (at ^ at >>> 8 ^ at >>> 16);
    }
    return data;
  }

  Bytes u8(int value) {
    bytes.write(value);
    return this;
  }

  Bytes u16(int value) {
    return u8(value >>> 8).u8(value);
  }

  Bytes u32(int value) {
    return u16(value >>> 16).u16(value);
  }

  Bytes u64(long value) {
    return u32((int) (value >>> 32)).u32((int) value);
  }

  Bytes raw(byte... value) {
    bytes.writeBytes(value);
    return this;
  }

  Bytes simpleReply(int errno, long cookie) {
    return u32(NbdProtocol.NBD_SIMPLE_REPLY_MAGIC).u32(errno).u64(cookie);
  }

  Bytes chunkHeader(int flags, int type, long cookie, int length) {
    if (extended) {
      return extendedHeader(flags, type, cookie, requestOffset, Integer.toUnsignedLong(length));
    }
    return u32(NbdProtocol.NBD_STRUCTURED_REPLY_MAGIC).u16(flags).u16(type).u64(cookie).u32(length);
  }

  Bytes extendedHeader(int flags, int type, long cookie, long offset, long length) {
    return u32(NbdProtocol.NBD_EXTENDED_REPLY_MAGIC)
        .u16(flags)
        .u16(type)
        .u64(cookie)
        .u64(offset)
        .u64(length);
  }

  Bytes chunk(int flags, int type, long cookie, byte[] payload) {
    return chunkHeader(flags, type, cookie, payload.length).raw(payload);
  }

  byte[] array() {
    return bytes.toByteArray();
  }
}
