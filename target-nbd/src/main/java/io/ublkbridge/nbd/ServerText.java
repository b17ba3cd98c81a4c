package io.ublkbridge.nbd;

import io.netty.buffer.ByteBuf;
import java.nio.charset.StandardCharsets;

/// Words that a server chose, made fit for a log line and a terminal.
final class ServerText {
  /// The longest text that is passed on, in characters.
  static final int LENGTH_MAX = 200;

  private ServerText() {}

  /// The next `length` bytes of `buffer`, cleaned.
  static String read(ByteBuf buffer, int length) {
    return clean(buffer.readCharSequence(length, StandardCharsets.UTF_8).toString());
  }

  /// `text` without control and formatting characters, cut where it gets too long.
  static String clean(String text) {
    StringBuilder cleaned = new StringBuilder(Math.min(text.length(), LENGTH_MAX));
    int at = 0;
    while (at < text.length() && cleaned.length() < LENGTH_MAX) {
      int character = text.codePointAt(at);
      cleaned.appendCodePoint(harmless(character) ? character : ' ');
      at += Character.charCount(character);
    }
    String stripped = cleaned.toString().strip();
    return at < text.length() ? stripped + "…" : stripped;
  }

  private static boolean harmless(int character) {
    return switch (Character.getType(character)) {
      case Character.CONTROL,
          Character.FORMAT,
          Character.SURROGATE,
          Character.PRIVATE_USE,
          Character.UNASSIGNED,
          Character.LINE_SEPARATOR,
          Character.PARAGRAPH_SEPARATOR ->
          false;
      default -> true;
    };
  }
}
