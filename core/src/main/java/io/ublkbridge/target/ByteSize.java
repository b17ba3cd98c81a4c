package io.ublkbridge.target;

import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Sizes as people write them: `512K`, `1.5G`; powers of 1024, a bare number is bytes.
public final class ByteSize {
  private static final Pattern SIZE =
      Pattern.compile("(\\d{1,19})(?:\\.(\\d{1,3}))?([KMGTP]?)(?:I?B)?");
  private static final String UNITS = "KMGTP";

  private ByteSize() {}

  /// Bytes in `text`.
  ///
  /// @throws IllegalArgumentException if it is not a size, saying how to write one
  public static long parse(String text) {
    Matcher matcher = SIZE.matcher(text.strip().toUpperCase(Locale.ROOT));
    if (!matcher.matches()) {
      throw notASize(text);
    }
    String unit = matcher.group(3);
    long factor = unit.isEmpty() ? 1 : 1L << (10 * (UNITS.indexOf(unit) + 1));
    try {
      long whole = Math.multiplyExact(Long.parseLong(matcher.group(1)), factor);
      String fraction = matcher.group(2);
      if (fraction == null) {
        return whole;
      }
      long scale = (long) Math.pow(10, fraction.length());
      return Math.addExact(whole, Math.multiplyExact(Long.parseLong(fraction), factor) / scale);
    } catch (ArithmeticException | NumberFormatException tooLarge) {
      throw new IllegalArgumentException("'" + text + "' is too large", tooLarge);
    }
  }

  /// `bytes` for a person: `1536` → `1.5K`. Exact sizes stay exact, others are rounded.
  public static String format(long bytes) {
    if (bytes < 1024) {
      return Long.toString(bytes);
    }
    int power = Math.min((63 - Long.numberOfLeadingZeros(bytes)) / 10, UNITS.length());
    double value = (double) bytes / (1L << (10 * power));
    String digits = String.format(Locale.ROOT, "%.1f", value);
    if (digits.endsWith(".0")) {
      digits = digits.substring(0, digits.length() - 2);
    }
    return digits + UNITS.charAt(power - 1);
  }

  private static IllegalArgumentException notASize(String text) {
    return new IllegalArgumentException(
        "'" + text + "' is not a size: write a number, or one with K, M, G or T");
  }
}
