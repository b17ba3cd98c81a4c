package io.ublkbridge.overlay;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.ublkbridge.kernel.RingFile;
import io.ublkbridge.target.ByteSize;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.UUID;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Finds or makes the overlay for a base, and takes it up. On a control thread.
///
/// @param path absolute
/// @param base the identity of the base
/// @param sizeBytes the base's size
record OverlayOpener(Path path, String base, long sizeBytes, boolean readOnly) {
  private static final Logger log = LoggerFactory.getLogger(OverlayOpener.class);

  /// An overlay that is ready for use. Whoever has it closes map and file.
  record Ready(OverlayFile file, OverlayDisk disk) {}

  /// @throws TargetOpenException if it cannot be used; then it was not changed
  Ready open() throws TargetOpenException {
    try {
      requirePlace();
      OverlayFile file = present() || readOnly ? OverlayFile.open(path, readOnly) : create();
      try {
        return takeUp(file);
      } catch (IOException | TargetOpenException | RuntimeException e) {
        file.close();
        throw e;
      }
    } catch (IOException e) {
      throw new TargetOpenException(
          Reason.FAILED,
          "cannot use the overlay " + path + ": " + e.getMessage(),
          "name a file in a directory that exists, is writable and has room",
          e);
    }
  }

  private boolean present() {
    return Files.exists(path, LinkOption.NOFOLLOW_LINKS);
  }

  /// The file must not need a disk that we serve: its writes would wait for themselves.
  private void requirePlace() throws IOException, TargetOpenException {
    if (Files.exists(path) && !Files.isRegularFile(path)) {
      throw new TargetOpenException(
          Reason.FAILED, path + " is not a regular file", "name a file, new or an overlay");
    }
    Path directory = path.toAbsolutePath().getParent();
    if (directory == null || !Files.isDirectory(directory)) {
      throw new TargetOpenException(
          Reason.FAILED,
          "the directory of the overlay " + path + " does not exist",
          "create it: mkdir -p " + directory);
    }
    String device = Files.getFileStore(Files.exists(path) ? path : directory).name();
    if (device.startsWith("/dev/ublk")) {
      throw new TargetOpenException(
          Reason.INVALID,
          "the overlay " + path + " would lie on " + device + ", a disk that ublk-bridge serves",
          "put it on another file system: writing would wait for itself");
    }
  }

  /// Makes an overlay beside its place, and moves it there when it is whole, so that after a crash
  /// it is there or not.
  private OverlayFile create() throws IOException, TargetOpenException {
    int baseBytes = base.getBytes(UTF_8).length;
    if (baseBytes > OverlayHeader.BASE_BYTES_MAX) {
      throw new TargetOpenException(
          Reason.INVALID, "the source's name is too long for an overlay: " + baseBytes, null);
    }
    OverlayFile file = unfinished();
    try {
      OverlayLayout layout = new OverlayLayout(sizeBytes, OverlayLayout.JOURNAL_PAGES);
      OverlayFormat.create(file.storage(), new OverlayHeader(UUID.randomUUID(), base, layout));
      file.rename(path);
      log.info("made the overlay {} for {}", path, base);
      return new OverlayFile(path, file.fd(), file.channel());
    } catch (IOException | RuntimeException e) {
      Files.deleteIfExists(file.path());
      file.close();
      if (e instanceof FileAlreadyExistsException) {
        throw busy(e);
      }
      throw e;
    }
  }

  /// An empty file under another name that nobody else makes an overlay of: perhaps one that a
  /// crash left. Whoever has the lock on it, and under its name, may write to it and remove it.
  private OverlayFile unfinished() throws IOException, TargetOpenException {
    Path unfinished = path.resolveSibling("." + path.getFileName() + ".new");
    try {
      Files.createFile(unfinished);
    } catch (FileAlreadyExistsException e) {
      log.info("{} is left from an attachment that was interrupted", unfinished);
    }
    OverlayFile file = OverlayFile.open(unfinished, false);
    try {
      if (Files.isSameFile(unfinished, Path.of(RingFile.pathOf(file.fd())))) {
        var _ = file.channel().truncate(0);
        return file;
      }
    } catch (NoSuchFileException e) {
      // It has its own name by now.
    } catch (IOException | RuntimeException e) {
      file.close();
      throw e;
    }
    file.close();
    throw busy(null);
  }

  private TargetOpenException busy(@Nullable Throwable cause) {
    return new TargetOpenException(
        Reason.BUSY, "another attachment has just made the overlay " + path, "try again", cause);
  }

  private Ready takeUp(OverlayFile file) throws IOException, TargetOpenException {
    OverlayStorage storage = file.storage();
    OverlayFormat.Opened opened;
    try {
      OverlayHeader header = OverlayFormat.readHeader(storage);
      requireSameBase(header);
      opened = OverlayFormat.open(storage, header, !readOnly);
    } catch (TargetOpenException e) {
      throw new TargetOpenException(
          e.reason(), "cannot use " + path + ": " + e.getMessage(), e.remedy(), e);
    }
    if (!opened.clean()) {
      log.info(
          "{} was not left in order, and is complete up to its last flush; {} pages of its map came"
              + " from the journal",
          path,
          opened.replayedPages());
    }
    return new Ready(
        file, new OverlayDisk(path.toString(), opened.header(), opened.map(), storage));
  }

  private void requireSameBase(OverlayHeader header) throws TargetOpenException {
    if (!header.base().equals(base)) {
      throw refused(
          "the overlay was made for "
              + header.baseInOneLine()
              + ", this is "
              + OverlayHeader.inOneLine(base));
    }
    if (header.layout().sizeBytes() != sizeBytes) {
      throw refused(
          "the overlay was made for a disk of %s (%d bytes), this one has %s (%d bytes)"
              .formatted(
                  ByteSize.format(header.layout().sizeBytes()),
                  header.layout().sizeBytes(),
                  ByteSize.format(sizeBytes),
                  sizeBytes));
    }
  }

  private static TargetOpenException refused(String message) {
    return new TargetOpenException(
        Reason.UNSUPPORTED,
        message + "; nothing was changed",
        "attach what it was made for, or name another file with --overlay");
  }
}
