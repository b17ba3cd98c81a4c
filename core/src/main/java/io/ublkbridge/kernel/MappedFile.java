package io.ublkbridge.kernel;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;

/// A file that is memory, and stays when its process is gone: mapped as a whole, shared.
///
/// Memory without room in the file system must not be touched: where there is none left, that would
/// be the end of the process (SIGBUS). [#allocate] makes room, or says that there is none. Any
/// thread may call; the memory is usable for as long as anybody holds on to it, also after
/// [#close].
public final class MappedFile implements AutoCloseable {
  private final Path path;
  private volatile int fd;
  private final MemorySegment memory;

  private MappedFile(Path path, int fd, MemorySegment memory) {
    this.path = path;
    this.fd = fd;
    this.memory = memory;
  }

  /// Makes a file of zeroes, for its owner alone to read, and of no room yet.
  ///
  /// @throws IOException if there is one already, or none can be made; nothing is left behind then
  public static MappedFile create(Path path, long lengthBytes) throws IOException {
    Files.createFile(
        path, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
    try {
      return map(path, lengthBytes);
    } catch (IOException | RuntimeException e) {
      Files.deleteIfExists(path);
      throw e;
    }
  }

  /// Maps a file that is there, in its whole length.
  public static MappedFile open(Path path) throws IOException {
    return map(path, Files.size(path));
  }

  private static MappedFile map(Path path, long lengthBytes) throws IOException {
    MemorySegment memory;
    try (FileChannel channel =
        FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
      memory = channel.map(MapMode.READ_WRITE, 0, lengthBytes, Arena.ofAuto());
    }
    int fd = Posix.open(path.toString(), Posix.O_RDWR | Posix.O_CLOEXEC);
    if (fd < 0) {
      throw new IOException("cannot open " + path + ": " + Errno.describe(-fd));
    }
    return new MappedFile(path, fd, memory);
  }

  public Path path() {
    return path;
  }

  /// All of it.
  public MemorySegment memory() {
    return memory;
  }

  /// Makes room for a range, whose bytes stay as they are.
  ///
  /// @return 0, or a negative error number, `ENOSPC` above all
  public int allocate(long position, long lengthBytes) {
    return Posix.fallocate(fd, FileOps.FALLOC_FL_KEEP_SIZE, position, lengthBytes);
  }

  /// Gives the room of a range back, whose bytes are zeroes from then on.
  ///
  /// @return 0, or a negative error number; it may be touched as before then
  public int giveBack(long position, long lengthBytes) {
    return Posix.fallocate(
        fd, FileOps.FALLOC_FL_PUNCH_HOLE | FileOps.FALLOC_FL_KEEP_SIZE, position, lengthBytes);
  }

  /// Closes the file; its memory stays usable.
  @Override
  public void close() {
    int open = fd;
    fd = -1;
    if (open >= 0) {
      Posix.close(open);
    }
  }
}
