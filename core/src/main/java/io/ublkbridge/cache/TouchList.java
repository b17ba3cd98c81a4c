package io.ublkbridge.cache;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/// The ranges of a disk that a run has read, in the order of their first reads.
///
/// As a file it is text:
///
/// ```
/// ublk-bridge touches 1
/// of IDENTITY
/// size BYTES
/// OFFSET LENGTH
/// …
/// ```
///
/// @param identity names the contents of the disk, or where they are if those may change
/// @param ranges in bytes, within the size, at most [#RANGES_MAX]
record TouchList(String identity, long sizeBytes, List<Range> ranges) {
  /// A longer list takes more time than it saves.
  static final int RANGES_MAX = 65_536;

  private static final String TITLE = "ublk-bridge touches 1";
  private static final String IDENTITY = "of ";
  private static final String SIZE = "size ";
  private static final Pattern RANGE = Pattern.compile("(\\d{1,18}) (\\d{1,18})");

  /// A range that was read.
  record Range(long offsetBytes, long lengthBytes) {}

  TouchList {
    identity = identity.replaceAll("\\p{Cntrl}", " ");
    ranges = List.copyOf(ranges);
  }

  /// Whether the list is about a disk with these contents.
  boolean isOf(String otherIdentity, long otherSizeBytes) {
    return sizeBytes == otherSizeBytes
        && identity.equals(otherIdentity.replaceAll("\\p{Cntrl}", " "));
  }

  String toText() {
    StringBuilder text = new StringBuilder();
    text.append(TITLE).append('\n');
    text.append(IDENTITY).append(identity).append('\n');
    text.append(SIZE).append(sizeBytes).append('\n');
    for (Range range : ranges) {
      text.append(range.offsetBytes).append(' ').append(range.lengthBytes).append('\n');
    }
    return text.toString();
  }

  /// Whether the file begins as a list does.
  static boolean isList(Path file) throws IOException {
    try (BufferedReader lines = Files.newBufferedReader(file, StandardCharsets.ISO_8859_1)) {
      char[] start = new char[TITLE.length()];
      int length = lines.read(start);
      return length == start.length && new String(start).equals(TITLE);
    }
  }

  /// Reads a file.
  ///
  /// @throws IOException if it cannot be read or is not such a list, saying so
  static TouchList read(Path file) throws IOException {
    if (!isList(file)) {
      throw new IOException("it is not a list that --record has written");
    }
    try (BufferedReader lines = Files.newBufferedReader(file, StandardCharsets.UTF_8)) {
      lines.readLine();
      String identity = field(lines.readLine(), IDENTITY);
      long size = number(field(lines.readLine(), SIZE));
      List<Range> ranges = new ArrayList<>();
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        ranges.add(range(line, size));
        if (ranges.size() > RANGES_MAX) {
          throw new IOException("it has more than " + RANGES_MAX + " ranges");
        }
      }
      return new TouchList(identity, size, ranges);
    } catch (UncheckedIOException e) {
      throw e.getCause();
    }
  }

  private static String field(@Nullable String line, String name) throws IOException {
    if (line == null || !line.startsWith(name)) {
      throw new IOException("it is damaged: no line '" + name.strip() + " …' where one belongs");
    }
    return line.substring(name.length());
  }

  private static Range range(String line, long sizeBytes) throws IOException {
    Matcher matcher = RANGE.matcher(line);
    if (matcher.matches()) {
      Range range = new Range(number(matcher.group(1)), number(matcher.group(2)));
      if (range.lengthBytes > 0
          && range.offsetBytes < sizeBytes
          && range.lengthBytes <= sizeBytes - range.offsetBytes) {
        return range;
      }
    }
    throw new IOException("it is damaged: '" + line + "' is not a range of the disk");
  }

  private static long number(String text) throws IOException {
    try {
      return Long.parseLong(text);
    } catch (NumberFormatException e) {
      throw new IOException("it is damaged: '" + text + "' is not a number", e);
    }
  }
}
