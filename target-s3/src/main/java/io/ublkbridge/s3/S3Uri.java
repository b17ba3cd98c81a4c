package io.ublkbridge.s3;

import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import io.ublkbridge.target.TargetUri;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/// `s3://bucket/key[?versionId=ID]`. The key is everything behind the bucket's slash, with percent
/// escapes for what would end it; a plus sign is a plus sign.
///
/// @param key decoded
/// @param versionId decoded, or null for whatever is the latest when the target is opened
record S3Uri(String bucket, String key, @Nullable String versionId) {
  static final String SCHEME = "s3";

  private static final String VERSION_ID = "versionId";

  /// Wider than AWS's rules: other stores, and old buckets, have names of their own.
  private static final Pattern BUCKET = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]{1,254}");

  /// What stands in a key as it is, when printed.
  private static final String PLAIN = "-._~!$'()*+,;=:@/";

  private static final int KEY_BYTES_MAX = 1024;

  static S3Uri parse(TargetUri uri) throws TargetOpenException {
    String rest = uri.rest();
    if (!rest.startsWith("//")) {
      throw invalid("'" + uri + "' has no bucket");
    }
    if (rest.indexOf('#') >= 0) {
      throw invalid("'" + uri + "' has a fragment: write %23 for a # in the key");
    }
    int question = rest.indexOf('?');
    String path = rest.substring(2, question < 0 ? rest.length() : question);
    int slash = path.indexOf('/');
    String bucket = slash < 0 ? path : path.substring(0, slash);
    if (!BUCKET.matcher(bucket).matches()) {
      throw invalid("'" + bucket + "' is not a bucket's name");
    }
    String key = slash < 0 ? "" : decode(path.substring(slash + 1));
    if (key.isEmpty()) {
      throw invalid("'" + uri + "' names no object in the bucket");
    }
    if (key.getBytes(StandardCharsets.UTF_8).length > KEY_BYTES_MAX) {
      throw invalid("the key is longer than " + KEY_BYTES_MAX + " bytes");
    }
    return new S3Uri(bucket, key, question < 0 ? null : version(rest.substring(question + 1)));
  }

  private static @Nullable String version(String query) throws TargetOpenException {
    String version = null;
    for (String parameter : query.split("&", -1)) {
      int equals = parameter.indexOf('=');
      String name = equals < 0 ? parameter : parameter.substring(0, equals);
      if (!name.equals(VERSION_ID)) {
        throw invalid("the URI has an unknown parameter '" + name + "'; there is only versionId");
      }
      if (version != null) {
        throw invalid("the URI has two versions");
      }
      version = equals < 0 ? "" : decode(parameter.substring(equals + 1));
      if (version.isEmpty()) {
        throw invalid("the URI's versionId is empty");
      }
    }
    return version;
  }

  private static String decode(String text) throws TargetOpenException {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    ByteBuffer decoded = ByteBuffer.allocate(bytes.length);
    for (int i = 0; i < bytes.length; i++) {
      if (bytes[i] != '%') {
        decoded.put(bytes[i]);
      } else if (i + 2 < bytes.length
          && HexFormat.isHexDigit(bytes[i + 1])
          && HexFormat.isHexDigit(bytes[i + 2])) {
        int value =
            HexFormat.fromHexDigit(bytes[i + 1]) << 4 | HexFormat.fromHexDigit(bytes[i + 2]);
        decoded.put((byte) value);
        i += 2;
      } else {
        throw invalid("'" + text + "' has a % that begins no escape: write %25 for itself");
      }
    }
    try {
      return StandardCharsets.UTF_8.newDecoder().decode(decoded.flip()).toString();
    } catch (CharacterCodingException e) {
      throw invalid("'" + text + "' is not UTF-8");
    }
  }

  private static String encode(String text) {
    StringBuilder encoded = new StringBuilder();
    for (byte b : text.getBytes(StandardCharsets.UTF_8)) {
      char c = (char) (b & 0xff);
      boolean plain =
          (c >= 'a' && c <= 'z')
              || (c >= 'A' && c <= 'Z')
              || (c >= '0' && c <= '9')
              || PLAIN.indexOf(c) >= 0;
      if (plain) {
        encoded.append(c);
      } else {
        encoded.append('%').append(HexFormat.of().withUpperCase().toHexDigits(b));
      }
    }
    return encoded.toString();
  }

  private static TargetOpenException invalid(String message) {
    return new TargetOpenException(
        Reason.INVALID, message, "write s3://bucket/path/disk.img, perhaps with ?versionId=ID");
  }

  /// Whether the key says that the image is compressed.
  boolean compressed() {
    return key.endsWith(".zst") || key.endsWith(".zstd");
  }

  @Override
  public String toString() {
    String version = versionId == null ? "" : "?" + VERSION_ID + "=" + encode(versionId);
    return SCHEME + "://" + bucket + "/" + encode(key) + version;
  }
}
