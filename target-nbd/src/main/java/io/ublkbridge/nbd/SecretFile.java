package io.ublkbridge.nbd;

import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.util.EnumSet;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// Files of keys and certificates, read with messages for whoever has put them there. What they
/// hold goes into no message.
final class SecretFile {
  private static final long BYTES_MAX = 16 << 20;
  private static final Set<PosixFilePermission> OWNERS =
      EnumSet.of(
          PosixFilePermission.OWNER_READ,
          PosixFilePermission.OWNER_WRITE,
          PosixFilePermission.OWNER_EXECUTE);

  private SecretFile() {}

  /// Reads a file that nobody but its owner may have access to.
  static String readPrivate(Path path) throws TargetOpenException {
    try {
      if (!OWNERS.containsAll(Files.getPosixFilePermissions(path))) {
        throw failed(
            path + " holds a secret key, and others than its owner have access to it",
            "chmod 600 " + path,
            null);
      }
    } catch (IOException e) {
      throw unreadable(path, e);
    }
    return read(path);
  }

  static String read(Path path) throws TargetOpenException {
    try {
      if (Files.isRegularFile(path) && Files.size(path) > BYTES_MAX) {
        throw failed(path + " is too long for a file of keys or certificates", null, null);
      }
      // Not text in any charset: PEM files often hold remarks in front of their ASCII.
      return Files.readString(path, StandardCharsets.ISO_8859_1);
    } catch (IOException e) {
      throw unreadable(path, e);
    }
  }

  private static TargetOpenException unreadable(Path path, IOException cause) {
    return switch (cause) {
      case NoSuchFileException e -> failed("there is no " + path, null, e);
      case AccessDeniedException e ->
          failed("permission to read " + path + " is denied", "run as a user who may read it", e);
      default -> failed("cannot read " + path + ": " + cause.getMessage(), null, cause);
    };
  }

  static TargetOpenException failed(
      String message, @Nullable String remedy, @Nullable Throwable cause) {
    return new TargetOpenException(Reason.FAILED, message, remedy, cause);
  }
}
