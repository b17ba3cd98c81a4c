package io.ublkbridge.target;

import io.ublkbridge.target.TargetOpenException.Reason;
import java.util.Locale;
import java.util.regex.Pattern;

/// The URI of a target, split at its scheme; the rest belongs to the scheme's provider.
///
/// A URI never holds a secret: one with a password in it is refused, so that it can be printed,
/// logged and kept in state files.
///
/// @param scheme in lower case, without the colon
/// @param rest everything behind the colon, as it was given
public record TargetUri(String scheme, String rest) {
  private static final Pattern SCHEME = Pattern.compile("[A-Za-z][A-Za-z0-9+.-]*");
  private static final Pattern PASSWORD = Pattern.compile("//[^/?#]*:[^/?#@]*@");

  public static TargetUri parse(String text) throws TargetOpenException {
    int colon = text.indexOf(':');
    if (colon < 1 || !SCHEME.matcher(text.substring(0, colon)).matches()) {
      throw new TargetOpenException(
          Reason.INVALID,
          "'" + text + "' is not a URI: it has no scheme",
          "write nbd://host/export, s3://bucket/key, file:/path/disk.img, memory:1G or null:1G");
    }
    String rest = text.substring(colon + 1);
    if (PASSWORD.matcher(rest).lookingAt()) {
      throw new TargetOpenException(
          Reason.INVALID,
          "the URI holds a password",
          "never put a secret into a URI: it shows in process lists and logs");
    }
    return new TargetUri(text.substring(0, colon).toLowerCase(Locale.ROOT), rest);
  }

  @Override
  public String toString() {
    return scheme + ":" + rest;
  }
}
