package io.ublkbridge.loop;

import io.netty.channel.IoEventLoop;
import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.FileStatus;
import io.ublkbridge.kernel.Posix;
import io.ublkbridge.kernel.RingFile;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.Succession;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import io.ublkbridge.target.TargetQueue;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.RejectedExecutionException;

/// A disk in a local file or block device: `file:PATH`.
///
/// I/O goes through the page cache of this machine: a completed WRITE is durable after a FLUSH, or
/// when it was asked to be durable by itself. DISCARD gives the range back to the file system.
///
/// Every queue has file descriptions of its own, so that Linux tells each of them when written data
/// was lost (see [SyncGroup]).
final class LoopTarget implements BlockTarget {
  private static final Duration DETAILS_TIMEOUT = Duration.ofSeconds(2);

  private final LoopFile file;
  private final IoEventLoop eventLoop;
  private boolean closed;

  private LoopTarget(LoopFile file, IoEventLoop eventLoop) {
    this.file = file;
    this.eventLoop = eventLoop;
  }

  static LoopTarget open(Path path, OpenContext context) throws TargetOpenException {
    return new LoopTarget(LoopOpener.open(path, context), context.eventLoop());
  }

  @Override
  public Geometry geometry() {
    return file.geometry();
  }

  @Override
  public Capabilities capabilities() {
    return file.capabilities();
  }

  @Override
  public Map<String, Object> details() {
    Map<String, Object> details = new LinkedHashMap<>();
    details.put("path", file.path().toString());
    details.put("kind", file.blockDevice() ? "block device" : "file");
    if (!file.blockDevice()) {
      putAllocated(details);
    }
    return details;
  }

  private synchronized void putAllocated(Map<String, Object> details) {
    if (!closed) {
      FileStatus.of(eventLoop, file.fd(), DETAILS_TIMEOUT)
          .ifPresent(status -> details.put("allocatedBytes", status.allocatedBytes()));
    }
  }

  /// What a dead server had written is in the page cache of this machine, which forgets nothing by
  /// that; and a process is only gone when its operations on the file are.
  @Override
  public Optional<Succession> succession() {
    return file.identity().map(Succession::new);
  }

  @Override
  public long presentSize(Duration timeout) throws TargetOpenException {
    try {
      long bytes = file.presentSize();
      if (bytes == 0) {
        throw new TargetOpenException(Reason.FAILED, file.path() + " is empty now", null);
      }
      return bytes;
    } catch (IOException e) {
      throw new TargetOpenException(
          Reason.FAILED, "cannot examine " + file.path() + ": " + e.getMessage(), null, e);
    }
  }

  @Override
  public void resize(long sizeBytes) {
    file.resize(sizeBytes);
  }

  @Override
  public boolean usesPayloadBuffers() {
    return true;
  }

  @Override
  public TargetQueue openQueue(QueueContext context) throws TargetOpenException {
    int fd = reopen();
    int syncFd;
    try {
      syncFd = reopen();
    } catch (TargetOpenException e) {
      Posix.close(fd);
      throw e;
    }
    RingFile ring = new RingFile(fd, syncFd, file.fd());
    LoopQueue queue = new LoopQueue(file, context.depth(), new FileRing(ring));
    try {
      ring.join(context.eventLoop(), queue);
    } catch (RejectedExecutionException e) {
      queue.close();
      throw new TargetOpenException(
          Reason.FAILED, "cannot use io_uring on " + file.path() + ": " + e.getMessage(), null, e);
    }
    return queue;
  }

  private int reopen() throws TargetOpenException {
    int fd = file.reopen();
    if (fd < 0) {
      throw new TargetOpenException(
          Reason.FAILED, "cannot open " + file.path() + " again: " + Errno.describe(-fd), null);
    }
    return fd;
  }

  @Override
  public synchronized void close() {
    if (!closed) {
      closed = true;
      file.close();
    }
  }
}
