package io.ublkbridge.cli;

import io.ublkbridge.target.ByteSize;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/// Fields of a JSON answer for people: a name and a value in each line.
final class FieldText {
  private static final Set<String> BYTES =
      Set.of(
          "size",
          "blockSize",
          "preferredIo",
          "maxIo",
          "maxZero",
          "bytes",
          "bytesRead",
          "bytesWritten",
          "cachedBytes",
          "fillBytes",
          "memory",
          "window",
          "dataBytes",
          "zeroBytes",
          "allocatedBytes",
          "objectBytes",
          "bytesFetched");

  private FieldText() {}

  /// Lines in the order of the fields; those of an object follow its name, indented.
  static List<String> lines(Map<String, ?> fields) {
    List<String> lines = new ArrayList<>();
    append(lines, fields, "");
    return lines;
  }

  private static void append(List<String> lines, Map<?, ?> fields, String indent) {
    int width = 0;
    for (Object key : fields.keySet()) {
      width = Math.max(width, words(String.valueOf(key)).length());
    }
    for (Map.Entry<?, ?> field : fields.entrySet()) {
      String name = words(String.valueOf(field.getKey()));
      if (field.getValue() instanceof Map<?, ?> object) {
        if (!object.isEmpty()) {
          lines.add(indent + name);
          append(lines, object, indent + "  ");
        }
      } else {
        String padding = " ".repeat(width - name.length());
        lines.add(indent + name + padding + "  " + value(field));
      }
    }
  }

  private static String value(Map.Entry<?, ?> field) {
    return switch (field.getValue()) {
      case Boolean truth -> truth ? "yes" : "no";
      case Number number when BYTES.contains(String.valueOf(field.getKey())) ->
          number
              + (number.longValue() < 1024 ? "" : " (" + ByteSize.format(number.longValue()) + ")");
      case List<?> list -> String.join(", ", list.stream().map(FieldText::element).toList());
      default -> String.valueOf(field.getValue());
    };
  }

  /// An object in a list stands for its values: their names would only be in the way.
  private static String element(Object element) {
    if (element instanceof Map<?, ?> object) {
      return String.join(" ", object.values().stream().map(String::valueOf).toList());
    }
    return String.valueOf(element);
  }

  /// `maxIo` → `max io`.
  private static String words(String name) {
    return name.replaceAll("([a-z0-9])([A-Z])", "$1 $2").toLowerCase(Locale.ROOT);
  }
}
