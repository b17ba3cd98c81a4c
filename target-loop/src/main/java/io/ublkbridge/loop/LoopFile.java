package io.ublkbridge.loop;

import io.ublkbridge.kernel.Posix;
import io.ublkbridge.kernel.RingFile;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.Geometry;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// An open file or block device that serves as a disk, and the claim on it.
///
/// Any thread may ask. The descriptor stays open as long as the target does; queues open their own
/// from it.
final class LoopFile implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(LoopFile.class);

  private final Path path;
  private final int fd;
  private final boolean blockDevice;
  private final Capabilities capabilities;
  private final Optional<String> identity;
  private final @Nullable FileChannel claim;
  private volatile Geometry geometry;

  /// @param path absolute, for messages
  /// @param fd ours
  /// @param identity names the file or disk itself, whatever its path leads to later; empty if it
  ///   cannot be told from others
  /// @param claim the channel that holds the lock; null for a block device, which is claimed by
  ///   `O_EXCL`
  LoopFile(
      Path path,
      int fd,
      boolean blockDevice,
      Geometry geometry,
      Capabilities capabilities,
      Optional<String> identity,
      @Nullable FileChannel claim) {
    this.path = path;
    this.fd = fd;
    this.blockDevice = blockDevice;
    this.geometry = geometry;
    this.capabilities = capabilities;
    this.identity = identity;
    this.claim = claim;
  }

  Path path() {
    return path;
  }

  int fd() {
    return fd;
  }

  boolean blockDevice() {
    return blockDevice;
  }

  Geometry geometry() {
    return geometry;
  }

  Capabilities capabilities() {
    return capabilities;
  }

  Optional<String> identity() {
    return identity;
  }

  /// How long it is at this moment, in bytes: whole blocks.
  long presentSize() throws IOException {
    String opened = RingFile.pathOf(fd);
    long bytes = blockDevice ? BlockDeviceInfo.of(opened).sizeBytes() : Files.size(Path.of(opened));
    return bytes - bytes % geometry.blockBytes();
  }

  void resize(long sizeBytes) {
    geometry = geometry.ofSize(sizeBytes);
  }

  /// Another file description of the same file, even if its name has gone to another since.
  ///
  /// @return a file descriptor, or a negative error number
  int reopen() {
    int access = capabilities.readOnly() ? Posix.O_RDONLY : Posix.O_RDWR;
    return Posix.open(RingFile.pathOf(fd), access | Posix.O_CLOEXEC);
  }

  @Override
  public void close() {
    if (claim != null) {
      try {
        claim.close();
      } catch (IOException e) {
        log.warn("{}: cannot release the lock", path, e);
      }
    }
    Posix.close(fd);
  }
}
