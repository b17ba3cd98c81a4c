package io.ublkbridge.cache;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/// What the blocks of a disk tier are blocks of: contents that never change, and how they are cut.
/// Same identity, same bytes.
///
/// Only the first half of a SHA-256 over all of it is stored and compared: 128 bits.
final class TierIdentity {
  /// Part of the hash, so that files of another format are files of another identity.
  private static final String FORMAT = "ublk-bridge disk tier 1";

  private final String contents;
  private final long sizeBytes;
  private final int blockBytes;
  private final long high;
  private final long low;

  /// @param contents what names the contents for ever
  /// @param sizeBytes how long they are
  /// @param blockBytes how long each block is, but for the last
  TierIdentity(String contents, long sizeBytes, int blockBytes) {
    this.contents = contents;
    this.sizeBytes = sizeBytes;
    this.blockBytes = blockBytes;
    ByteBuffer hash = ByteBuffer.wrap(sha256(label()));
    this.high = hash.getLong();
    this.low = hash.getLong();
  }

  long sizeBytes() {
    return sizeBytes;
  }

  int blockBytes() {
    return blockBytes;
  }

  long high() {
    return high;
  }

  long low() {
    return low;
  }

  /// What the identity is for a person. Nobody parses it.
  String label() {
    return "%s\ncontents: %s\nsize: %d\nblock: %d\n"
        .formatted(FORMAT, contents, sizeBytes, blockBytes);
  }

  /// A file name's beginning that no other identity has.
  String fileStem() {
    HexFormat hex = HexFormat.of();
    return hex.toHexDigits(high) + hex.toHexDigits(low);
  }

  private static byte[] sha256(String text) {
    try {
      return MessageDigest.getInstance("SHA-256").digest(text.getBytes(UTF_8));
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every Java platform has SHA-256", e);
    }
  }
}
