package io.ublkbridge.loop;

import io.netty.channel.IoEvent;
import io.netty.channel.IoEventLoop;
import io.netty.channel.IoRegistration;
import io.netty.channel.uring.IoUringIoEvent;
import io.netty.channel.uring.IoUringIoHandle;
import io.netty.channel.uring.IoUringIoOps;
import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.Posix;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// File I/O by the io_uring of the queue's own event loop: each step is one submission, whose user
/// data is the index of its slot. The slot knows its step, and has only one.
///
/// An index stays below 32768, which Netty packs into the submission itself; anything larger would
/// go through a hash map.
///
/// Zeroing goes through the target's own descriptor: a block device drops cached pages that are
/// dirty only for its exclusive opener, and answers EBUSY to all others (`truncate_bdev_range` in
/// the kernel's `block/bdev.c`).
///
/// Owns the two file descriptors given to it, and borrows the target's.
final class FileRing implements FileIo {
  private static final Logger log = LoggerFactory.getLogger(FileRing.class);
  private static final long DEADLINE_SECONDS = 10;
  private static final int ECANCELED = 125;

  private final int claimFd;
  private final int fd;
  private final int syncFd;
  private final CountDownLatch gone = new CountDownLatch(1);
  private final Handle handle = new Handle();
  private Completions completions = (index, result) -> {};
  private @Nullable IoRegistration registration;

  /// @param claimFd the target's, for holes and zeroes
  /// @param fd for reading and writing
  /// @param syncFd for fdatasync: another file description, so that it is told of every loss
  FileRing(int claimFd, int fd, int syncFd) {
    this.claimFd = claimFd;
    this.fd = fd;
    this.syncFd = syncFd;
  }

  /// Joins the loop's ring. On a control thread, before the first step.
  ///
  /// @throws RejectedExecutionException if the loop has ended, or does not answer
  void register(IoEventLoop eventLoop, Completions completions) {
    this.completions = completions;
    try {
      registration = eventLoop.register(handle).get(DEADLINE_SECONDS, TimeUnit.SECONDS);
    } catch (ExecutionException | TimeoutException e) {
      throw new RejectedExecutionException("the event loop cannot be joined", e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new RejectedExecutionException("interrupted", e);
    }
  }

  @Override
  public void start(LoopSlot slot) {
    IoRegistration current = registration;
    if (current == null || !current.isValid()) {
      // Submitting would be ignored without a word.
      completions.completed(slot.index(), -ECANCELED);
      return;
    }
    try {
      current.submit(operation(slot));
    } catch (RuntimeException e) {
      log.error("cannot submit to io_uring", e);
      completions.completed(slot.index(), -Errno.EIO);
    }
  }

  private IoUringIoOps operation(LoopSlot slot) {
    return switch (slot.stage()) {
      case READ -> UringOps.read(fd, slot);
      case WRITE -> UringOps.write(fd, slot, slot.request().durable());
      case ZERO_PAGES -> UringOps.write(fd, slot, false);
      case PUNCH_HOLE -> UringOps.zero(claimFd, slot, UringOps.FALLOC_FL_PUNCH_HOLE);
      case ZERO_RANGE -> UringOps.zero(claimFd, slot, UringOps.FALLOC_FL_ZERO_RANGE);
      case SYNC -> UringOps.dataSync(syncFd, slot);
    };
  }

  @Override
  public boolean close() {
    boolean quiet = leave();
    if (quiet) {
      Posix.close(fd);
      Posix.close(syncFd);
    }
    return quiet;
  }

  private boolean leave() {
    IoRegistration current = registration;
    if (current == null) {
      return true;
    }
    try {
      current.cancel();
      return gone.await(DEADLINE_SECONDS, TimeUnit.SECONDS);
    } catch (RejectedExecutionException e) {
      // The loop has ended, and has closed its ring.
      return gone.getCount() == 0;
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return false;
    }
  }

  private final class Handle implements IoUringIoHandle {
    @Override
    public void handle(IoRegistration source, IoEvent event) {
      IoUringIoEvent completion = (IoUringIoEvent) event;
      // Netty reuses the event: take everything out first.
      int index = (int) completion.userData();
      int result = completion.res();
      completions.completed(index, result);
    }

    @Override
    public void unregistered() {
      gone.countDown();
    }

    /// Called by a loop that shuts down.
    @Override
    public void close() {
      IoRegistration current = registration;
      if (current != null) {
        current.cancel();
      }
    }
  }
}
