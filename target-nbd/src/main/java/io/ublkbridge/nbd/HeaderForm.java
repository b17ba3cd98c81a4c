package io.ublkbridge.nbd;

/// Which messages the transmission phase of a connection consists of, the most capable last.
enum HeaderForm {
  /// Requests of 28 bytes; a reply to a READ is its data or an error, never both.
  SIMPLE,

  /// As [#SIMPLE], but a READ is answered in chunks, and every other command may be.
  STRUCTURED,

  /// Requests of 32 bytes with lengths of 64 bits; every reply comes in chunks, whose headers have
  /// 32 bytes too.
  EXTENDED;

  boolean structuredReplies() {
    return this != SIMPLE;
  }

  boolean extendedHeaders() {
    return this == EXTENDED;
  }
}
