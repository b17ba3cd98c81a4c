package io.ublkbridge.cli;

import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Names of devices: what may be one, and which one suits a URI.
final class DeviceName {
  private static final int LENGTH_MAX = 63;
  private static final Pattern VALID = Pattern.compile("[A-Za-z0-9][A-Za-z0-9_.-]{0,62}");
  private static final Pattern URI = Pattern.compile("([^:]+):(?://([^/?]*))?([^?]*)(?:\\?(.*))?");
  private static final Pattern SOCKET = Pattern.compile("(?:.*&)?socket=([^&]+).*");
  private static final Pattern PORT = Pattern.compile(":\\d*$");

  private DeviceName() {}

  static boolean valid(String name) {
    return VALID.matcher(name).matches();
  }

  /// Whether a URI names a place, so that attaching it twice means the same disk; `memory:1G` does
  /// not.
  static boolean namesPlace(String uri) {
    return uri.indexOf('/') >= 0;
  }

  /// A name for a URI: host and export, or a file's name, or the scheme.
  static String of(String uri) {
    Matcher parts = URI.matcher(uri);
    if (!parts.matches()) {
      return "disk";
    }
    String authority = parts.group(2);
    String path = parts.group(3);
    String name;
    if (authority == null) {
      name = path.indexOf('/') < 0 ? parts.group(1) : lastOf(path);
    } else {
      String host =
          PORT.matcher(authority.substring(authority.lastIndexOf('@') + 1)).replaceFirst("");
      String export = path.replaceAll("^/+|/+$", "");
      name = host + (host.isEmpty() || export.isEmpty() ? "" : "-") + export;
    }
    String cleaned = clean(name);
    if (cleaned.isEmpty() && parts.group(4) != null) {
      Matcher socket = SOCKET.matcher(parts.group(4));
      cleaned = socket.matches() ? clean(lastOf(socket.group(1))) : "";
    }
    return cleaned.isEmpty() ? clean(parts.group(1)) : cleaned;
  }

  /// `name`, or the first of `name-2`, `name-3`, … that is free.
  static String free(String name, Predicate<String> taken) {
    String candidate = name;
    for (int next = 2; taken.test(candidate); next++) {
      String suffix = "-" + next;
      int kept = Math.min(name.length(), LENGTH_MAX - suffix.length());
      candidate = name.substring(0, kept) + suffix;
    }
    return candidate;
  }

  private static String lastOf(String path) {
    return path.substring(path.lastIndexOf('/') + 1);
  }

  private static String clean(String text) {
    String cleaned =
        text.replaceAll("%[0-9A-Fa-f]{2}", "-")
            .replaceAll("[^A-Za-z0-9_.-]+", "-")
            .replaceAll("-{2,}", "-")
            .replaceAll("^[^A-Za-z0-9]+|-+$", "");
    return cleaned.length() <= LENGTH_MAX ? cleaned : cleaned.substring(0, LENGTH_MAX);
  }
}
