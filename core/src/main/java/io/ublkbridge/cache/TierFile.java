package io.ublkbridge.cache;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.Posix;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.Arrays;

/// A tier's file, and the claim on it: nobody else of this directory's users touches it.
///
/// For control threads. Event loops have descriptors of their own, from [#reopen].
final class TierFile implements AutoCloseable {
  private final Path path;
  private final int fd;
  private long lengthBytes;

  /// @param fd ours from now on, with the lock on it
  TierFile(Path path, int fd) throws IOException {
    this.path = path;
    this.fd = fd;
    this.lengthBytes = Files.size(byDescriptor());
  }

  Path path() {
    return path;
  }

  long lengthBytes() {
    return lengthBytes;
  }

  /// Leaves a sign of use: the file that was used longest ago is given up first.
  void touch() throws IOException {
    Files.setLastModifiedTime(byDescriptor(), FileTime.from(Instant.now()));
  }

  /// Says in the file's first page what it is. For a person: nobody else reads it.
  void label(String text) throws IOException {
    byte[] page = Arrays.copyOf(text.getBytes(UTF_8), TierLayout.PAGE_BYTES);
    try (FileChannel channel = FileChannel.open(byDescriptor(), StandardOpenOption.WRITE)) {
      channel.write(ByteBuffer.wrap(page), 0);
    }
    lengthBytes = Math.max(lengthBytes, TierLayout.PAGE_BYTES);
  }

  /// Cuts off what is behind `maxBytes`.
  void shorten(long maxBytes) throws IOException {
    if (lengthBytes > maxBytes) {
      try (FileChannel channel = FileChannel.open(byDescriptor(), StandardOpenOption.WRITE)) {
        channel.truncate(maxBytes);
      }
      lengthBytes = maxBytes;
    }
  }

  /// Makes the file longer by zeroes that have their room on the disk.
  ///
  /// @return 0, or a negative error number
  int extend(long toBytes) {
    int result = Posix.allocate(fd, lengthBytes, toBytes - lengthBytes);
    if (result == 0) {
      lengthBytes = toBytes;
    }
    return result;
  }

  /// Another open file description, past the page cache where the file system can do that: what is
  /// read here is in the memory cache and in that of the disk soon enough.
  ///
  /// @return a file descriptor, or a negative error number
  int reopen() {
    int direct = open(Posix.O_DIRECT);
    if (direct < 0 || readsPages(direct)) {
      return direct == -Errno.EINVAL ? open(0) : direct;
    }
    Posix.close(direct);
    return open(0);
  }

  private int open(int flags) {
    return Posix.open(byDescriptor().toString(), Posix.O_RDWR | Posix.O_CLOEXEC | flags);
  }

  /// Some file systems say only then that they cannot.
  private static boolean readsPages(int fd) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment page = arena.allocate(TierLayout.PAGE_BYTES, TierLayout.PAGE_BYTES);
      return Posix.pread(fd, page, 0) != -Errno.EINVAL;
    }
  }

  /// `proc_pid_fd(5)`: leads to the file even if its name has gone to another since.
  private Path byDescriptor() {
    return Path.of("/proc/self/fd/" + fd);
  }

  /// Gives up the claim.
  @Override
  public void close() {
    Posix.close(fd);
  }
}
