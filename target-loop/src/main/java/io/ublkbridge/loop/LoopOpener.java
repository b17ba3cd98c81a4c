package io.ublkbridge.loop;

import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.FileOps;
import io.ublkbridge.kernel.FileStatus;
import io.ublkbridge.kernel.Posix;
import io.ublkbridge.kernel.RingCall;
import io.ublkbridge.kernel.RingFile;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Opens the file behind `file:PATH`, finds out what it can do, and claims it. On a control thread.
final class LoopOpener {
  private static final Logger log = LoggerFactory.getLogger(LoopOpener.class);

  private static final int PREFERRED_IO_BYTES = 4096;
  private static final int MAX_IO_BYTES = 4 << 20;
  private static final long MAX_ZERO_BYTES = 1L << 30;
  private static final int QUEUES_MAX = 16;

  /// On a block device and without `O_CREAT`: fails with `EBUSY` if it is mounted or otherwise
  /// claimed (`open(2)`).
  private static final int O_EXCL = 0x80;

  private static final int EROFS = 30;

  /// `inode(7)`.
  private static final int S_IFMT = 0xF000;

  private static final int S_IFBLK = 0x6000;
  private static final int S_IFREG = 0x8000;
  private static final int S_IFDIR = 0x4000;

  private final Path path;
  private final OpenContext context;

  private LoopOpener(Path path, OpenContext context) {
    this.path = path;
    this.context = context;
  }

  static LoopFile open(Path path, OpenContext context) throws TargetOpenException {
    return new LoopOpener(path.toAbsolutePath().normalize(), context).open();
  }

  private LoopFile open() throws TargetOpenException {
    boolean blockDevice = requireDisk();
    boolean readOnly = context.readOnly();
    int exclusive = blockDevice && !readOnly ? O_EXCL : 0;
    int access = readOnly ? Posix.O_RDONLY : Posix.O_RDWR;
    int fd = Posix.open(path.toString(), access | exclusive | Posix.O_CLOEXEC);
    if (!readOnly && (fd == -Errno.EACCES || fd == -Errno.EPERM || fd == -EROFS)) {
      String refusal = fd == -EROFS ? "EROFS (read-only file system)" : Errno.describe(-fd);
      readOnly = true;
      fd = Posix.open(path.toString(), Posix.O_RDONLY | Posix.O_CLOEXEC);
      if (fd >= 0) {
        log.warn("{} cannot be opened for writing, {}: the disk is read-only", path, refusal);
      }
    }
    if (fd < 0) {
      throw refused(-fd);
    }
    try {
      return inspect(fd, blockDevice, readOnly);
    } catch (IOException e) {
      Posix.close(fd);
      throw failed("cannot examine " + path + ": " + e.getMessage(), null, e);
    } catch (TargetOpenException | RuntimeException e) {
      Posix.close(fd);
      throw e;
    }
  }

  /// Looks at the kind of file first, because opening a pipe would wait for its other end.
  ///
  /// @return whether it is a block device
  private boolean requireDisk() throws TargetOpenException {
    int type;
    try {
      type = (int) Files.getAttribute(path, "unix:mode") & S_IFMT;
    } catch (NoSuchFileException e) {
      throw refused(Errno.ENOENT);
    } catch (IOException e) {
      throw failed(
          "cannot examine " + path + ": " + e.getMessage(),
          "check that you may enter every directory on the way to it",
          e);
    }
    return switch (type) {
      case S_IFREG -> false;
      case S_IFBLK -> true;
      case S_IFDIR ->
          throw failed(
              path + " is a directory", "name an image file in it, or a block device", null);
      default ->
          throw failed(
              path + " is neither a regular file nor a block device",
              "name an image file or a block device",
              null);
    };
  }

  private LoopFile inspect(int fd, boolean blockDevice, boolean readOnly)
      throws IOException, TargetOpenException {
    BlockDeviceInfo device = blockDevice ? BlockDeviceInfo.of(RingFile.pathOf(fd)) : null;
    int blockBytes = device == null ? Geometry.MIN_BLOCK_BYTES : device.blockBytes();
    long fileBytes = device == null ? Files.size(Path.of(RingFile.pathOf(fd))) : device.sizeBytes();
    long sizeBytes = requireRoom(fileBytes, blockBytes);
    boolean holes =
        !readOnly && (device == null ? punchesHoles(fd, fileBytes) : device.writesZeroes());
    Geometry geometry =
        new Geometry(
            sizeBytes,
            blockBytes,
            Math.max(blockBytes, PREFERRED_IO_BYTES),
            MAX_IO_BYTES,
            MAX_ZERO_BYTES);
    boolean rotational = device != null && device.rotational();
    Capabilities capabilities =
        new Capabilities(readOnly, true, true, holes, true, rotational, QUEUES_MAX);
    return new LoopFile(
        path,
        fd,
        blockDevice,
        geometry,
        readOnly ? capabilities.asReadOnly() : capabilities,
        device == null
            ? FileStatus.of(context.eventLoop(), fd, context.timeout()).map(FileStatus::identity)
            : device.identity(),
        blockDevice ? null : claim(fd, readOnly));
  }

  private long requireRoom(long fileBytes, int blockBytes) throws TargetOpenException {
    if (fileBytes == 0) {
      throw failed(
          path + " is empty", "give it the size of the disk: truncate -s 10G " + path, null);
    }
    long tailBytes = fileBytes % blockBytes;
    if (fileBytes == tailBytes) {
      throw failed(
          "%s has %d bytes, less than one block of %d".formatted(path, fileBytes, blockBytes),
          "give it the size of the disk: truncate -s 10G " + path,
          null);
    }
    if (tailBytes != 0) {
      log.warn(
          "{} is not a multiple of {} bytes long: its last {} bytes are out of reach",
          path,
          blockBytes,
          tailBytes);
    }
    return fileBytes - tailBytes;
  }

  private boolean punchesHoles(int fd, long fileBytes) throws TargetOpenException {
    int result;
    try {
      result =
          RingCall.run(
              context.eventLoop(), FileOps.punchBehindTheEnd(fd, fileBytes), context.timeout());
    } catch (TimeoutException e) {
      throw new TargetOpenException(
          Reason.TIMED_OUT, path + ": the file system does not answer", null, e);
    } catch (RejectedExecutionException e) {
      throw failed("cannot use io_uring on " + path + ": " + e.getMessage(), null, e);
    }
    if (result < 0) {
      log.info("{}: no holes can be punched, {}: no discard", path, Errno.describe(-result));
    }
    return result >= 0;
  }

  /// Locks the file against others who ask for a lock: other bridges, QEMU. A writer is alone,
  /// readers may be several.
  ///
  /// A POSIX lock (`fcntl_locking(2)`): it goes with the process, so that a successor can take over
  /// at once, but also when the process closes any other descriptor of the file.
  private FileChannel claim(int fd, boolean readOnly) throws IOException, TargetOpenException {
    FileChannel channel =
        FileChannel.open(
            Path.of(RingFile.pathOf(fd)),
            readOnly ? StandardOpenOption.READ : StandardOpenOption.WRITE);
    FileLock lock = null;
    try {
      lock = channel.tryLock(0, Long.MAX_VALUE, readOnly);
    } catch (OverlappingFileLockException e) {
      // This very process serves the file already.
    } finally {
      if (lock == null) {
        channel.close();
      }
    }
    if (lock == null) {
      throw refused(Errno.EBUSY);
    }
    return channel;
  }

  private TargetOpenException refused(int errno) {
    return switch (errno) {
      case Errno.ENOENT ->
          failed(path + " does not exist", "create it: truncate -s 10G " + path, null);
      case Errno.EACCES, Errno.EPERM ->
          failed(path + ": permission denied", "run as somebody who may read and write it", null);
      case Errno.EBUSY ->
          new TargetOpenException(
              Reason.BUSY,
              path + " is in use",
              "unmount or detach it first; fuser -v " + path + " shows who uses it");
      default -> failed("cannot open " + path + ": " + Errno.describe(errno), null, null);
    };
  }

  private static TargetOpenException failed(
      String message, @Nullable String remedy, @Nullable Throwable cause) {
    return new TargetOpenException(Reason.FAILED, message, remedy, cause);
  }
}
