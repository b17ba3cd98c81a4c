package io.ublkbridge.nbd;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;

import io.ublkbridge.target.TargetOpenException;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.List;

/// A file of pre-shared keys as `psktool` writes it: a user and a key in hex digits in each line,
/// with a colon between them. Lines that begin with `#` are remarks.
record PskFile(Path path) {
  /// The key of a user.
  byte[] keyOf(String user) throws TargetOpenException {
    List<String> lines = SecretFile.readPrivate(path).lines().toList();
    for (int i = 0; i < lines.size(); i++) {
      String line = lines.get(i).strip();
      if (line.isEmpty() || line.startsWith("#")) {
        continue;
      }
      int colon = line.lastIndexOf(':');
      if (colon < 1) {
        throw malformed(i + 1);
      }
      if (isUser(line.substring(0, colon), user)) {
        return key(line.substring(colon + 1), i + 1);
      }
    }
    throw SecretFile.failed(
        path + " holds no key of user '" + ServerText.clean(user) + "'",
        "name another user in the URI: nbds://USER@host/",
        null);
  }

  /// The file was read byte by byte, so a name that is not ASCII must be taken apart the same way.
  private static boolean isUser(String name, String user) {
    return new String(user.getBytes(UTF_8), ISO_8859_1).equals(name);
  }

  private byte[] key(String digits, int line) throws TargetOpenException {
    try {
      byte[] key = HexFormat.of().parseHex(digits);
      if (key.length > 0) {
        return key;
      }
    } catch (IllegalArgumentException notHex) {
      // Its message would quote the key.
      throw malformed(line);
    }
    throw malformed(line);
  }

  private TargetOpenException malformed(int line) {
    return SecretFile.failed(
        "line " + line + " of " + path + " is not a user, a colon and a key in hex digits",
        "make it with: psktool -u USER -p " + path,
        null);
  }
}
