package io.ublkbridge.overlay;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Optional;
import java.util.UUID;

/// What an overlay is, and which base it belongs to: the file's first page, written once.
///
/// ```
/// 0   magic "UBOVRLAY"
/// 8   version of the format, 4 bytes
/// 12  CRC32C of the page
/// 16  UUID of this overlay
/// 32  size of the disk in bytes, 8 bytes
/// 40  size of a block in bytes, 4 bytes
/// 44  pages in the journal, 4 bytes
/// 48  length of the base's identity, 4 bytes
/// 52  the base's identity, UTF-8
/// ```
///
/// @param base names the base: its content identity, or its URI
record OverlayHeader(UUID uuid, String base, OverlayLayout layout) {
  static final int VERSION = 1;

  private static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfLong LONG =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  /// The letters of "UBOVRLAY", the first one lowest.
  private static final long MAGIC = 0x5941_4c52_564f_4255L;

  private static final long VERSION_AT = 8;
  private static final long CRC_AT = 12;
  private static final long UUID_AT = 16;
  private static final long SIZE_AT = 32;
  private static final long BLOCK_AT = 40;
  private static final long JOURNAL_AT = 44;
  private static final long BASE_LENGTH_AT = 48;
  private static final int BASE_AT = 52;
  static final int BASE_BYTES_MAX = OverlayLayout.PAGE_BYTES - BASE_AT;
  private static final int JOURNAL_PAGES_MAX = 1 << 16;

  /// The base for a person.
  String baseInOneLine() {
    return inOneLine(base);
  }

  /// An identity can have several lines.
  static String inOneLine(String identity) {
    return identity.replaceAll("\\p{Cntrl}+", " ");
  }

  void encode(MemorySegment page) {
    byte[] name = base.getBytes(UTF_8);
    page.fill((byte) 0);
    page.set(LONG, 0, MAGIC);
    page.set(INT, VERSION_AT, VERSION);
    page.set(LONG, UUID_AT, uuid.getMostSignificantBits());
    page.set(LONG, UUID_AT + 8, uuid.getLeastSignificantBits());
    page.set(LONG, SIZE_AT, layout.sizeBytes());
    page.set(INT, BLOCK_AT, OverlayLayout.BLOCK_BYTES);
    page.set(INT, JOURNAL_AT, layout.journalPages());
    page.set(INT, BASE_LENGTH_AT, name.length);
    MemorySegment.copy(name, 0, page, ValueLayout.JAVA_BYTE, BASE_AT, name.length);
    Checksum.put(page, CRC_AT);
  }

  /// Whether this is the first page of an overlay, of whatever version and however damaged.
  static boolean looksLikeOne(MemorySegment page) {
    return page.get(LONG, 0) == MAGIC;
  }

  static int versionOf(MemorySegment page) {
    return page.get(INT, VERSION_AT);
  }

  /// The header in a page; empty if the page is not as it was written.
  static Optional<OverlayHeader> decode(MemorySegment page) {
    if (!Checksum.matches(page, CRC_AT)) {
      return Optional.empty();
    }
    long sizeBytes = page.get(LONG, SIZE_AT);
    int journalPages = page.get(INT, JOURNAL_AT);
    int baseLength = page.get(INT, BASE_LENGTH_AT);
    boolean possible =
        sizeBytes > 0
            && page.get(INT, BLOCK_AT) == OverlayLayout.BLOCK_BYTES
            && journalPages > 0
            && journalPages <= JOURNAL_PAGES_MAX
            && baseLength >= 0
            && baseLength <= BASE_BYTES_MAX;
    if (!possible) {
      return Optional.empty();
    }
    UUID uuid = new UUID(page.get(LONG, UUID_AT), page.get(LONG, UUID_AT + 8));
    byte[] base = page.asSlice(BASE_AT, baseLength).toArray(ValueLayout.JAVA_BYTE);
    return Optional.of(
        new OverlayHeader(
            uuid, new String(base, UTF_8), new OverlayLayout(sizeBytes, journalPages)));
  }
}
