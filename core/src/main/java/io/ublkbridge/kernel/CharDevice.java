package io.ublkbridge.kernel;

import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/// `/dev/ublkcN`: where a device's requests are described, and their payload read and written.
///
/// Opened by one process at a time. Opening, mapping and closing belong to control threads; the
/// copies to the queue's event loop.
public final class CharDevice implements AutoCloseable {
  private static final Duration OPEN_PATIENCE = Duration.ofSeconds(10);
  private static final long PAGE_BYTES = 4096;

  private final int fd;
  private final int depth;
  private final boolean registersPayload;
  private final List<MemorySegment> mappings = new ArrayList<>();

  private CharDevice(int fd, DeviceInfo info) {
    this.fd = fd;
    this.depth = info.depth();
    this.registersPayload = (info.flags() & UblkAbi.UBLK_F_AUTO_BUF_REG) != 0;
  }

  static Path path(int id) {
    return Path.of("/dev/ublkc" + id);
  }

  /// Opens the device, patiently: the node appears after ADD_DEV, and udev may hold it a moment.
  public static CharDevice open(DeviceInfo info) {
    int id = info.id();
    Deadline deadline = Deadline.after(OPEN_PATIENCE);
    while (true) {
      // Without O_NONBLOCK the kernel would do every ring operation on it in a worker thread.
      int fd = Posix.open(path(id).toString(), Posix.O_RDWR | Posix.O_NONBLOCK | Posix.O_CLOEXEC);
      if (fd >= 0) {
        return new CharDevice(fd, info);
      }
      boolean passing = fd == -Errno.ENOENT || fd == -Errno.EACCES || fd == -Errno.EBUSY;
      if (!passing || !deadline.pause()) {
        throw new UblkException("open of " + path(id), -fd);
      }
    }
  }

  public int fd() {
    return fd;
  }

  /// Whether the kernel makes each request's payload a buffer of the ring: the one of the tag's
  /// number.
  public boolean registersPayload() {
    return registersPayload;
  }

  /// Maps a queue's io descriptors, read-only. Unmapped by [#close].
  public MemorySegment mapDescriptors(int queue) {
    long descriptor = IoDescriptor.LAYOUT.byteSize();
    long stride = roundUpToPage(UblkAbi.UBLK_MAX_QUEUE_DEPTH * descriptor);
    MemorySegment mapping =
        Posix.mmap(fd, roundUpToPage(depth * descriptor), Posix.PROT_READ, queue * stride);
    mappings.add(mapping);
    return mapping;
  }

  /// Copies payload of a WRITE out of the kernel.
  ///
  /// @return bytes copied, or a negative error number
  public long load(int queue, int tag, long at, MemorySegment into) {
    return Posix.pread(fd, into, UserCopyOffset.of(queue, tag, at));
  }

  /// Copies payload of a READ into the kernel.
  ///
  /// @return bytes copied, or a negative error number
  public long store(int queue, int tag, long at, MemorySegment from) {
    return Posix.pwrite(fd, from, UserCopyOffset.of(queue, tag, at));
  }

  /// Unmaps and closes; only after the last tag has come back, since DEL_DEV waits for both.
  @Override
  public void close() {
    mappings.forEach(Posix::munmap);
    mappings.clear();
    Posix.close(fd);
  }

  private static long roundUpToPage(long bytes) {
    return (bytes + PAGE_BYTES - 1) & -PAGE_BYTES;
  }
}
