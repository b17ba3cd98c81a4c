package io.ublkbridge.cache;

import io.ublkbridge.kernel.Deadline;
import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.Posix;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileStore;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// The directory of disk tiers, which the servers of all disks of a host may share.
///
/// Each tier has a file of its own, named for its identity and locked by the one process that uses
/// it (`flock(2)`, which ends with the process). A second process with the same identity takes the
/// next number. Files that nobody has locked wait for their contents to be attached again; when
/// room is short, the one that was used longest ago shrinks first.
///
/// Whoever claims, grows or shrinks files holds the lock on the directory's file `lock`. Confined
/// to control threads, and to one at a time.
final class TierDirectory {
  private static final Logger log = LoggerFactory.getLogger(TierDirectory.class);

  private static final String LOCK = "lock";
  private static final String SUFFIX = ".tier";
  private static final int SAME_IDENTITY_MAX = 64;
  private static final Duration LOCK_TIMEOUT = Duration.ofSeconds(10);

  /// A cache is not worth a full file system: this part of it stays free.
  private static final int FREE_DIVISOR = 20;

  private final Path path;
  private final long bytesMax;

  /// @param bytesMax how long all files of the directory may be together
  TierDirectory(Path path, long bytesMax) {
    this.path = path;
    this.bytesMax = bytesMax;
  }

  long bytesMax() {
    return bytesMax;
  }

  Path path() {
    return path;
  }

  /// Makes the directory if it does not exist yet, for its owner only: what is cached may be
  /// secret.
  void create() throws IOException {
    if (!Files.isDirectory(path)) {
      Files.createDirectories(
          path, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    }
  }

  /// Opens the file of an identity, new and empty perhaps, and locks it. It is no longer than it
  /// may be.
  TierFile claim(TierIdentity identity) throws IOException {
    int lock = lock();
    try {
      for (int number = 0; number < SAME_IDENTITY_MAX; number++) {
        Path file = path.resolve(identity.fileStem() + "-" + number + SUFFIX);
        int fd = open(file);
        if (Posix.tryLock(fd) != 0) {
          Posix.close(fd);
          continue;
        }
        try {
          TierFile claimed = new TierFile(file, fd);
          claimed.touch();
          claimed.shorten(Math.max(0, bytesMax - othersBytes(file)));
          return claimed;
        } catch (IOException e) {
          Posix.close(fd);
          throw e;
        }
      }
      throw new IOException("more than " + SAME_IDENTITY_MAX + " servers of the same contents");
    } finally {
      Posix.close(lock);
    }
  }

  /// Makes a file longer, its room on the disk reserved; at the cost of unused files if need be.
  ///
  /// @return null if that worked, or why there is no room
  @Nullable String grow(TierFile file, long lengthBytes) throws IOException {
    int lock = lock();
    try {
      long moreBytes = lengthBytes - file.lengthBytes();
      long allowance = bytesMax - othersBytes(file.path()) - lengthBytes;
      long room = freeBytes() - moreBytes;
      long missingBytes = -Math.min(allowance, room);
      if (missingBytes > 0) {
        missingBytes -= reclaim(file.path(), missingBytes);
      }
      if (missingBytes > 0) {
        return allowance < room
            ? "attached disks use all of the %d MiB for %s".formatted(bytesMax >> 20, path)
            : "the file system of %s is all but full".formatted(path);
      }
      int result = file.extend(lengthBytes);
      if (result == -Errno.ENOSPC || result == -Errno.EDQUOT) {
        return "%s: %s".formatted(path, Errno.describe(-result));
      }
      if (result < 0) {
        throw new IOException(
            "cannot reserve room for " + file.path() + ": " + Errno.describe(-result));
      }
      return null;
    } finally {
      Posix.close(lock);
    }
  }

  private long othersBytes(Path own) throws IOException {
    long bytes = 0;
    for (Path file : files()) {
      if (!file.equals(own)) {
        bytes += sizeOf(file);
      }
    }
    return bytes;
  }

  /// Shortens files that nobody uses, those first that were used longest ago.
  ///
  /// @return how many bytes that gave
  private long reclaim(Path own, long wantedBytes) throws IOException {
    record Unused(Path file, long lastUsedMillis) {}
    List<Unused> candidates = new ArrayList<>();
    for (Path file : files()) {
      if (!file.equals(own)) {
        candidates.add(new Unused(file, Files.getLastModifiedTime(file).toMillis()));
      }
    }
    candidates.sort(Comparator.comparingLong(Unused::lastUsedMillis));
    long gained = 0;
    for (Unused candidate : candidates) {
      if (gained >= wantedBytes) {
        break;
      }
      gained += shrink(candidate.file(), wantedBytes - gained);
    }
    return gained;
  }

  private long shrink(Path path, long wantedBytes) throws IOException {
    int fd = open(path);
    try {
      if (Posix.tryLock(fd) != 0) {
        return 0;
      }
      TierFile file = new TierFile(path, fd);
      long before = file.lengthBytes();
      long after = before - wantedBytes;
      // Its modification time says when it was used last, and has to go on saying that.
      var lastUsed = Files.getLastModifiedTime(path);
      if (after > TierLayout.PAGE_BYTES + TierLayout.GROUP_HEADER_BYTES) {
        file.shorten(after);
        Files.setLastModifiedTime(path, lastUsed);
      } else {
        after = 0;
        Files.delete(path);
      }
      log.info("{}: gave {} MiB of an unused file to another disk", path, (before - after) >> 20);
      return before - after;
    } finally {
      Posix.close(fd);
    }
  }

  /// How long all files can become together, as far as the file system goes.
  long roomBytes() throws IOException {
    return othersBytes(path) + freeBytes();
  }

  /// What the file system can give without being all but full.
  private long freeBytes() throws IOException {
    FileStore store = Files.getFileStore(path);
    return store.getUsableSpace() - store.getTotalSpace() / FREE_DIVISOR;
  }

  private List<Path> files() throws IOException {
    List<Path> files = new ArrayList<>();
    try (DirectoryStream<Path> stream = Files.newDirectoryStream(path, "*" + SUFFIX)) {
      stream.forEach(files::add);
    }
    return files;
  }

  private static long sizeOf(Path file) throws IOException {
    try {
      return Files.size(file);
    } catch (NoSuchFileException e) {
      // Somebody cleans up by hand.
      return 0;
    }
  }

  /// Waits for the right to change which files there are, and how long.
  ///
  /// @return a descriptor that holds it
  private int lock() throws IOException {
    int fd = open(path.resolve(LOCK));
    Deadline deadline = Deadline.after(LOCK_TIMEOUT);
    int result = Posix.tryLock(fd);
    while (result == -Errno.EAGAIN && deadline.pause()) {
      result = Posix.tryLock(fd);
    }
    if (result < 0) {
      Posix.close(fd);
      throw new IOException("cannot lock " + path.resolve(LOCK) + ": " + Errno.describe(-result));
    }
    return fd;
  }

  private static int open(Path file) throws IOException {
    try {
      Files.createFile(
          file, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
    } catch (FileAlreadyExistsException e) {
      // As a rule.
    }
    int fd = Posix.open(file.toString(), Posix.O_RDWR | Posix.O_CLOEXEC);
    if (fd < 0) {
      throw new IOException("cannot open " + file + ": " + Errno.describe(-fd));
    }
    return fd;
  }
}
