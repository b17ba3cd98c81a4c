package io.ublkbridge.kernel;

import io.netty.channel.IoEvent;
import io.netty.channel.IoEventLoop;
import io.netty.channel.IoRegistration;
import io.netty.channel.uring.IoUringIoEvent;
import io.netty.channel.uring.IoUringIoOps;
import java.util.Arrays;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// A file whose I/O is done by the io_uring of an event loop: each operation is one submission,
/// named by a tag that comes back with its end. A tag has one operation under way at most, and the
/// memory of a transfer stays put until then. Operations leave when the turn of the loop ends,
/// together with its wait: most files have the answer ready or need a worker of the kernel, and
/// either way the loop enters the kernel once less.
///
/// Operations are confined to the event loop; [#join] and [#close] are for control threads. No
/// operation throws: each ends with exactly one call of [Completions#completed], which may come
/// before the method returns. Like the system calls, a transfer may do a part only.
///
/// Owns two file descriptors, each an open file description of its own: Linux tells of a lost
/// write-back once per description, so the one that syncs does nothing else and hears of every loss
/// (`errseq_t`, Documentation/core-api/errseq.rst in the kernel).
public final class RingFile {
  private static final Logger log = LoggerFactory.getLogger(RingFile.class);
  private static final long DEADLINE_SECONDS = 10;

  /// Netty packs tags below this into the submission itself; larger ones go through a hash map.
  public static final int TAGS_MAX = 1 << 15;

  private final int fd;
  private final int syncFd;
  private final int zeroFd;
  private final CountDownLatch gone = new CountDownLatch(1);
  private final Handle handle = new Handle();

  /// What leaves when the turn ends, and their tags.
  private IoUringIoOps[] pending = new IoUringIoOps[64];

  private int[] pendingTags = new int[64];
  private int pendingCount;
  private Completions completions = (tag, result) -> {};
  private @Nullable IoRegistration registration;

  /// Takes the ends of operations, on the event loop.
  @FunctionalInterface
  public interface Completions {
    /// One operation ended.
    ///
    /// @param result what the system call answered: bytes or 0, or a negative error number
    void completed(int tag, int result);
  }

  /// @param fd ours from now on, for reading and writing
  /// @param syncFd ours from now on, for fdatasync
  public RingFile(int fd, int syncFd) {
    this(fd, syncFd, fd);
  }

  /// @param zeroFd borrowed, for holes and zeroes. A block device drops cached pages that are dirty
  ///   only for its exclusive opener, and answers EBUSY to all others (`truncate_bdev_range` in the
  ///   kernel's `block/bdev.c`)
  public RingFile(int fd, int syncFd, int zeroFd) {
    this.fd = fd;
    this.syncFd = syncFd;
    this.zeroFd = zeroFd;
  }

  /// A path that leads to the file behind a descriptor of this process, even if its name has gone
  /// to another since (`proc_pid_fd(5)`).
  public static String pathOf(int fd) {
    return "/proc/self/fd/" + fd;
  }

  /// Joins the loop's ring. On a control thread, before the first operation.
  ///
  /// @throws RejectedExecutionException if the loop has ended, or does not answer
  public void join(IoEventLoop eventLoop, Completions completions) {
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

  /// Reads up to `lengthBytes` into memory at `address`.
  public void read(int tag, long positionBytes, long address, int lengthBytes) {
    submit(tag, FileOps.read(fd, positionBytes, address, lengthBytes, tag));
  }

  /// Writes up to `lengthBytes` from memory at `address`; those that are written are durable then
  /// if that was asked for.
  public void write(int tag, long positionBytes, long address, int lengthBytes, boolean durable) {
    submit(tag, FileOps.write(fd, positionBytes, address, lengthBytes, durable, tag));
  }

  /// Reads up to `lengthBytes` into a registered buffer of the loop's ring, from its byte `at` on.
  public void readFixed(int tag, long positionBytes, int buffer, long at, int lengthBytes) {
    submit(tag, FileOps.readFixed(fd, positionBytes, buffer, at, lengthBytes, tag));
  }

  /// Writes up to `lengthBytes` from a registered buffer of the loop's ring, from its byte `at` on.
  public void writeFixed(
      int tag, long positionBytes, int buffer, long at, int lengthBytes, boolean durable) {
    submit(tag, FileOps.writeFixed(fd, positionBytes, buffer, at, lengthBytes, durable, tag));
  }

  /// Makes everything durable whose write ended before.
  public void dataSync(int tag) {
    submit(tag, FileOps.dataSync(syncFd, tag));
  }

  /// Makes a hole, which reads as zeroes and takes no room; the file's length stays.
  public void punchHole(int tag, long positionBytes, long lengthBytes) {
    submit(tag, FileOps.punchHole(zeroFd, positionBytes, lengthBytes, tag));
  }

  /// Makes zeroes that keep their room; the file's length stays.
  public void zeroRange(int tag, long positionBytes, long lengthBytes) {
    submit(tag, FileOps.zeroRange(zeroFd, positionBytes, lengthBytes, tag));
  }

  private void submit(int tag, IoUringIoOps operation) {
    IoRegistration current = registration;
    if (current == null || !current.isValid()) {
      // Submitting would be ignored without a word.
      completions.completed(tag, -Errno.ECANCELED);
      return;
    }
    if (pendingCount == pending.length) {
      pending = Arrays.copyOf(pending, 2 * pendingCount);
      pendingTags = Arrays.copyOf(pendingTags, 2 * pendingCount);
    }
    if (pendingCount == 0) {
      handle.endTurn();
    }
    pending[pendingCount] = operation;
    pendingTags[pendingCount] = tag;
    pendingCount++;
  }

  private void submitPending() {
    for (int i = 0; i < pendingCount; i++) {
      submitNow(pendingTags[i], pending[i]);
    }
    pendingCount = 0;
  }

  private void submitNow(int tag, IoUringIoOps operation) {
    IoRegistration current = registration;
    if (current == null || !current.isValid()) {
      completions.completed(tag, -Errno.ECANCELED);
      return;
    }
    try {
      current.submit(operation);
    } catch (RuntimeException e) {
      log.error("cannot submit to io_uring", e);
      completions.completed(tag, -Errno.EIO);
    }
  }

  /// Waits until nothing is under way any more, leaves the ring and closes the descriptors.
  ///
  /// @return whether that worked; if not, the kernel may still use the memory of transfers
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

  private final class Handle implements TurnHandle {
    private @Nullable EventLoopTurns turns;

    @Override
    public void joined(EventLoopTurns loopTurns) {
      turns = loopTurns;
    }

    void endTurn() {
      EventLoopTurns loopTurns = turns;
      if (loopTurns == null) {
        throw new IllegalStateException("a file is on a loop without turns");
      }
      loopTurns.endWith(this);
    }

    @Override
    public void turnEnded() {
      submitPending();
    }

    @Override
    public void handle(IoRegistration source, IoEvent event) {
      IoUringIoEvent completion = (IoUringIoEvent) event;
      // Netty reuses the event: take everything out first.
      int tag = (int) completion.userData();
      int result = completion.res();
      completions.completed(tag, result);
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
