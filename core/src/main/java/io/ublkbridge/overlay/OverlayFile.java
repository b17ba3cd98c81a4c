package io.ublkbridge.overlay;

import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.Posix;
import io.ublkbridge.kernel.RingFile;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.EnumSet;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// An open overlay file, and the lock on it. A writer is alone, readers may be several.
///
/// A POSIX lock (`fcntl_locking(2)`): it goes with the process, so that a successor can take over
/// at once, but also when the process closes any other descriptor of the file. So nothing else here
/// opens and closes the file while it is in use, and a queue closes its descriptors last.
///
/// @param path absolute, for messages
/// @param fd ours
record OverlayFile(Path path, int fd, FileChannel channel) implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(OverlayFile.class);

  /// Opens and locks a file.
  ///
  /// @throws TargetOpenException if it cannot be opened, or somebody else uses it
  static OverlayFile open(Path path, boolean readOnly) throws IOException, TargetOpenException {
    int access = readOnly ? Posix.O_RDONLY : Posix.O_RDWR;
    int fd = Posix.open(path.toString(), access | Posix.O_CLOEXEC);
    if (fd < 0) {
      throw new TargetOpenException(
          Reason.FAILED,
          "cannot open the overlay " + path + ": " + Errno.describe(-fd),
          readOnly && fd == -Errno.ENOENT
              ? "attach once without --read-only, which makes it"
              : null);
    }
    try {
      return new OverlayFile(path, fd, lock(path, fd, readOnly));
    } catch (IOException | TargetOpenException | RuntimeException e) {
      Posix.close(fd);
      throw e;
    }
  }

  private static FileChannel lock(Path path, int fd, boolean readOnly)
      throws IOException, TargetOpenException {
    EnumSet<StandardOpenOption> options = EnumSet.of(StandardOpenOption.READ);
    if (!readOnly) {
      options.add(StandardOpenOption.WRITE);
    }
    FileChannel channel = FileChannel.open(Path.of(RingFile.pathOf(fd)), options);
    @Nullable FileLock lock = null;
    try {
      lock = channel.tryLock(0, Long.MAX_VALUE, readOnly);
    } catch (OverlappingFileLockException e) {
      // This very process uses the file already.
    } finally {
      if (lock == null) {
        channel.close();
      }
    }
    if (lock == null) {
      throw new TargetOpenException(
          Reason.BUSY,
          "the overlay " + path + " is in use by another attachment",
          "detach that one first; ublk-bridge list and fuser -v " + path + " show who it is");
    }
    return channel;
  }

  OverlayStorage storage() {
    return new ChannelStorage(channel);
  }

  /// Another file description of the same file.
  ///
  /// @throws TargetOpenException if it cannot be had
  int reopen(boolean readOnly) throws TargetOpenException {
    int access = readOnly ? Posix.O_RDONLY : Posix.O_RDWR;
    int opened = Posix.open(RingFile.pathOf(fd), access | Posix.O_CLOEXEC);
    if (opened < 0) {
      throw new TargetOpenException(
          Reason.FAILED,
          "cannot open the overlay " + path + " again: " + Errno.describe(-opened),
          null);
    }
    return opened;
  }

  /// Gives the file a name that was free until now, durably.
  ///
  /// @throws java.nio.file.FileAlreadyExistsException if it was not
  void rename(Path to) throws IOException {
    Path directory = to.toAbsolutePath().getParent();
    try {
      // Unlike a rename this fails if the name is taken.
      Files.createLink(to, path);
      Files.delete(path);
    } catch (UnsupportedOperationException e) {
      Files.move(path, to);
    }
    if (directory != null) {
      try (FileChannel names = FileChannel.open(directory, StandardOpenOption.READ)) {
        names.force(true);
      }
    }
  }

  @Override
  public void close() {
    try {
      channel.close();
    } catch (IOException e) {
      log.warn("{}: cannot release the lock", path, e);
    }
    Posix.close(fd);
  }
}
