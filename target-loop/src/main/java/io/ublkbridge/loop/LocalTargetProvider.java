package io.ublkbridge.loop;

import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import io.ublkbridge.target.TargetProvider;
import io.ublkbridge.target.TargetUri;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Set;

/// Opens `null:SIZE`, `memory:SIZE` and `file:PATH`. Any thread may call.
public final class LocalTargetProvider implements TargetProvider {
  private static final String NULL = "null";
  private static final String MEMORY = "memory";
  private static final String FILE = "file";

  @Override
  public Set<String> schemes() {
    return Set.of(NULL, MEMORY, FILE);
  }

  @Override
  public TargetUri resolve(TargetUri uri) throws TargetOpenException {
    if (uri.scheme().equals(FILE)) {
      return new TargetUri(FILE, path(uri).toAbsolutePath().normalize().toString());
    }
    DiskSize.parse(uri);
    return uri;
  }

  @Override
  public BlockTarget open(TargetUri uri, OpenContext context) throws TargetOpenException {
    return switch (uri.scheme()) {
      case NULL -> new NullTarget(DiskSize.parse(uri));
      case MEMORY -> new MemoryTarget(DiskSize.parse(uri));
      case FILE -> LoopTarget.open(path(uri), context);
      default -> throw new IllegalArgumentException("not a scheme of this provider: " + uri);
    };
  }

  /// The path, as it is: relative ones start at the working directory, and nothing is decoded,
  /// because a percent sign may well be part of a file's name. `file:///disk.img` means the same as
  /// `file:/disk.img`.
  private static Path path(TargetUri uri) throws TargetOpenException {
    String path = uri.rest();
    if (path.startsWith("//")) {
      path = path.substring(2);
      if (!path.startsWith("/")) {
        throw invalid("'" + uri + "' names a host, but files are local");
      }
    }
    if (path.isEmpty()) {
      throw invalid("'" + uri + "' names no file");
    }
    try {
      return Path.of(path);
    } catch (InvalidPathException e) {
      throw invalid("'" + uri + "' is not a path: " + e.getReason());
    }
  }

  private static TargetOpenException invalid(String message) {
    return new TargetOpenException(
        Reason.INVALID, message, "write file:/path/disk.img, or file:disk.img for one right here");
  }
}
