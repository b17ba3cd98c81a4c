package io.ublkbridge.s3;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/// XXH64 with seed 0, the checksum of zstd's formats (Yann Collet, xxHash's `doc/xxhash_spec.md`).
/// Any thread may call.
final class XxHash64 {
  private static final long PRIME_1 = 0x9E3779B185EBCA87L;
  private static final long PRIME_2 = 0xC2B2AE3D27D4EB4FL;
  private static final long PRIME_3 = 0x165667B19E3779F9L;
  private static final long PRIME_4 = 0x85EBCA77C2B2AE63L;
  private static final long PRIME_5 = 0x27D4EB2F165667C5L;

  /// The first and the fourth lane's start: `PRIME_1 + PRIME_2` and `-PRIME_1`, which overflow.
  private static final long LANE_1 = 0x60EA27EEADC0B5D6L;

  private static final long LANE_4 = 0x61C8864E7A143579L;

  private static final int STRIPE_BYTES = 32;

  private static final ValueLayout.OfLong LONG =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private XxHash64() {}

  static long of(MemorySegment bytes) {
    long length = bytes.byteSize();
    long stripes = length - length % STRIPE_BYTES;
    long hash = (stripes == 0 ? PRIME_5 : ofStripes(bytes, stripes)) + length;
    long at = stripes;
    for (; at + Long.BYTES <= length; at += Long.BYTES) {
      hash = Long.rotateLeft(hash ^ round(0, bytes.get(LONG, at)), 27) * PRIME_1 + PRIME_4;
    }
    if (at + Integer.BYTES <= length) {
      long word = Integer.toUnsignedLong(bytes.get(INT, at));
      hash = Long.rotateLeft(hash ^ word * PRIME_1, 23) * PRIME_2 + PRIME_3;
      at += Integer.BYTES;
    }
    for (; at < length; at++) {
      long one = Byte.toUnsignedLong(bytes.get(ValueLayout.JAVA_BYTE, at));
      hash = Long.rotateLeft(hash ^ one * PRIME_5, 11) * PRIME_1;
    }
    return avalanche(hash);
  }

  /// Four lanes side by side, each taking every fourth word.
  private static long ofStripes(MemorySegment bytes, long end) {
    long first = LANE_1;
    long second = PRIME_2;
    long third = 0;
    long fourth = LANE_4;
    for (long at = 0; at < end; at += STRIPE_BYTES) {
      first = round(first, bytes.get(LONG, at));
      second = round(second, bytes.get(LONG, at + 8));
      third = round(third, bytes.get(LONG, at + 16));
      fourth = round(fourth, bytes.get(LONG, at + 24));
    }
    long hash =
        Long.rotateLeft(first, 1)
            + Long.rotateLeft(second, 7)
            + Long.rotateLeft(third, 12)
            + Long.rotateLeft(fourth, 18);
    hash = merge(hash, first);
    hash = merge(hash, second);
    hash = merge(hash, third);
    return merge(hash, fourth);
  }

  private static long round(long lane, long word) {
    return Long.rotateLeft(lane + word * PRIME_2, 31) * PRIME_1;
  }

  private static long merge(long hash, long lane) {
    return (hash ^ round(0, lane)) * PRIME_1 + PRIME_4;
  }

  private static long avalanche(long hash) {
    long mixed = (hash ^ hash >>> 33) * PRIME_2;
    mixed = (mixed ^ mixed >>> 29) * PRIME_3;
    return mixed ^ mixed >>> 32;
  }
}
