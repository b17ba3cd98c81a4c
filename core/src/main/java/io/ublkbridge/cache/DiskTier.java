package io.ublkbridge.cache;

import io.netty.channel.IoEventLoop;
import io.ublkbridge.kernel.Deadline;
import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.Posix;
import io.ublkbridge.kernel.RingFile;
import io.ublkbridge.target.QueueContext;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.function.Function;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Blocks in slots of a local file: the cache's second level, which survives the process.
///
/// Nothing in the file is trusted. A block counts only if its header carries the identity and is
/// intact, and what is read has the header's CRC32C, each time. So nothing is ever synced, headers
/// and blocks reach the disk in any order or not at all, and whatever a crash leaves behind is at
/// worst a miss:
///
/// ```
/// header of A, block A        a hit
/// header of A, block B, torn  CRC differs: dropped, fetched again
/// no header, block A          an empty slot
/// ```
///
/// The lanes of all queues share [TierSlots], under its lock; each does its I/O on its own loop. A
/// slot that is read is pinned, so that it is not given to another block meanwhile.
///
/// The first error of the disk ends its use: from then on everything is a miss.
final class DiskTier implements BlockTier {
  private static final Logger log = LoggerFactory.getLogger(DiskTier.class);

  /// The file grows by so much at once, ahead of its use.
  static final long GROWTH_BYTES = 64 << 20;

  private static final int KEPT_BYTES_MAX = 4 << 20;
  private static final int KEPT_BLOCKS_MAX = 32;
  private static final int GROUP_BYTES = TierLayout.GROUP_HEADER_BYTES;
  private static final Duration CLOSE_TIMEOUT = Duration.ofSeconds(10);

  private final TierDirectory directory;
  private final TierFile file;
  private final TierLayout layout;
  private final TierIdentity identity;
  private final Executor control;
  private final Arena arena = Arena.ofShared();
  private final TierSlots slots;
  private boolean closed;

  /// Whether a lane could not be closed, so that the kernel may still use memory.
  private volatile boolean lanesLeft;

  /// What a tier works with.
  ///
  /// @param control runs what takes time while the tier is used
  /// @param keptBlocksMax how many frames it may keep until they are written
  /// @param growthBytes by how much the file grows at once
  record Means(Executor control, int keptBlocksMax, long growthBytes) {}

  private DiskTier(TierDirectory directory, TierFile file, TierIdentity identity, Means means) {
    this.directory = directory;
    this.file = file;
    this.identity = identity;
    this.layout = new TierLayout(identity.blockBytes());
    this.control = means.control();
    int slotsMax = slotsMax(directory.bytesMax(), identity);
    int growthSlots = Math.clamp(means.growthBytes() / layout.slotBytes(), 1, slotsMax);
    this.slots = new TierSlots(arena, identity, slotsMax, growthSlots, means.keptBlocksMax());
  }

  /// How many slots a tier of this identity can use; 0 if `bytesMax` is not enough for any.
  static int slotsMax(long bytesMax, TierIdentity identity) {
    long blocks = (identity.sizeBytes() - 1) / identity.blockBytes() + 1;
    int slotsMax = (int) Math.min(blocks, SlotTable.SLOTS_MAX);
    return new TierLayout(identity.blockBytes()).slotCount(bytesMax, slotsMax);
  }

  /// How many frames to keep at most until their blocks are written: enough to keep a disk busy,
  /// and no more than an eighth of the memory.
  static int keptBlocksMax(int blockBytes, long memoryBytes) {
    long bytes = Math.min(KEPT_BYTES_MAX, memoryBytes / 8);
    return Math.clamp(bytes / blockBytes, 1, KEPT_BLOCKS_MAX);
  }

  /// Claims the identity's file, and takes up what an earlier use left in it. On a control thread.
  ///
  /// @throws IOException if the directory or the file cannot be used
  static DiskTier open(TierDirectory directory, TierIdentity identity, Means means)
      throws IOException {
    TierFile file = directory.claim(identity);
    try {
      DiskTier tier = new DiskTier(directory, file, identity, means);
      try {
        tier.recover();
      } catch (IOException | RuntimeException e) {
        tier.arena.close();
        throw e;
      }
      return tier;
    } catch (IOException | RuntimeException e) {
      file.close();
      throw e;
    }
  }

  private void recover() throws IOException {
    int fd = file.reopen();
    if (fd < 0) {
      throw new IOException("cannot open " + file.path() + ": " + Errno.describe(-fd));
    }
    try (Arena scan = Arena.ofConfined()) {
      SlotHeaders headers = new SlotHeaders(scan.allocate(GROUP_BYTES, TierLayout.PAGE_BYTES));
      int slotCount = layout.slotCount(file.lengthBytes(), slotsMax(file.lengthBytes(), identity));
      for (int first = 0; first < slotCount; first += TierLayout.SLOTS_PER_GROUP) {
        long position = layout.groupPosition(first / TierLayout.SLOTS_PER_GROUP);
        long result = Posix.pread(fd, headers.memory(), position);
        if (result != GROUP_BYTES) {
          String what = result < 0 ? Errno.describe((int) -result) : "it is too short";
          throw new IOException("cannot read " + file.path() + ": " + what);
        }
        slots.recover(headers, Math.min(slotCount - first, TierLayout.SLOTS_PER_GROUP));
      }
    } finally {
      Posix.close(fd);
    }
    if (slots.slotCount() == 0) {
      file.label(identity.label());
      growFile(slots.startGrowing());
    }
  }

  @Override
  public Lane openLane(QueueContext context) {
    return openLane(completions -> join(context.eventLoop(), completions));
  }

  Lane openLane(Function<RingFile.Completions, TierIo> join) {
    return new DiskLane(this, slots, layout, join);
  }

  /// Opens a lane's own way to the file; one that fails each operation if that is not possible.
  private TierIo join(IoEventLoop eventLoop, RingFile.Completions lane) {
    int fd = file.reopen();
    int syncFd = fd < 0 ? fd : file.reopen();
    if (syncFd < 0) {
      if (fd >= 0) {
        Posix.close(fd);
      }
      turnOff("cannot be opened", -syncFd);
      return new UringTierIo(new RingFile(-1, -1));
    }
    RingFile ring = new RingFile(fd, syncFd);
    try {
      ring.join(eventLoop, lane);
    } catch (RejectedExecutionException e) {
      turnOff("cannot be used by io_uring", Errno.ECANCELED);
    }
    return new UringTierIo(ring);
  }

  /// Has the file grow if it should, but not here and now.
  void growIfWanted() {
    int slotCount = slots.startGrowing();
    if (slotCount > 0) {
      control.execute(() -> growInBackground(slotCount));
    }
  }

  private void growInBackground(int slotCount) {
    try {
      growFile(slotCount);
    } catch (IOException | RuntimeException e) {
      if (slots.notGrown()) {
        log.warn("{}: the disk tier grows no more: {}", file.path(), e.getMessage());
      }
    }
  }

  private void growFile(int slotCount) throws IOException {
    String obstacle = directory.grow(file, layout.fileBytes(slotCount));
    if (obstacle == null) {
      slots.grown(slotCount);
    } else if (slots.notGrown()) {
      log.warn(
          "{}: the disk tier stays at {} MiB: {}", file.path(), file.lengthBytes() >> 20, obstacle);
    }
  }

  /// Ends the tier's use, with one line in the log.
  void turnOff(String what, int errno) {
    String reason = what + ": " + Errno.describe(errno);
    if (slots.turnOff(reason)) {
      log.warn("{}: {}; going on without the disk tier", file.path(), reason);
    }
  }

  void laneLeft() {
    lanesLeft = true;
  }

  @Override
  public int keptBlocksMax() {
    return slots.keptMax();
  }

  @Override
  public Map<String, Object> details() {
    Map<String, Object> details = new LinkedHashMap<>();
    details.put("file", file.path().toString());
    details.putAll(slots.details());
    return details;
  }

  /// Writes the header pages that no lane got to, and gives up the file.
  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    Deadline deadline = Deadline.after(CLOSE_TIMEOUT);
    boolean growing = slots.growing();
    while (growing && deadline.pause()) {
      growing = slots.growing();
    }
    if (growing || lanesLeft) {
      log.warn("{}: I/O is still under way; its memory is never freed", file.path());
      return;
    }
    writeHeaders();
    slots.turnOff("closed");
    file.close();
    arena.close();
  }

  private void writeHeaders() {
    int fd = file.reopen();
    if (fd < 0) {
      return;
    }
    try (Arena scratch = Arena.ofConfined()) {
      SlotHeaders page =
          new SlotHeaders(scratch.allocate(TierLayout.PAGE_BYTES, TierLayout.PAGE_BYTES));
      for (int number = slots.takePage(page);
          number != TierSlots.NONE;
          number = slots.takePage(page)) {
        if (Posix.pwrite(fd, page.memory(), layout.pagePosition(number)) != TierLayout.PAGE_BYTES) {
          // Lost blocks, no more.
          return;
        }
        slots.pageWritten(number, true);
      }
      file.touch();
    } catch (IOException e) {
      log.warn("{}: {}", file.path(), e.getMessage());
    } finally {
      Posix.close(fd);
    }
  }

  /// The kernel's way.
  private record UringTierIo(RingFile ring) implements TierIo {
    @Override
    public void read(int tag, long positionBytes, long address, int lengthBytes) {
      ring.read(tag, positionBytes, address, lengthBytes);
    }

    @Override
    public void write(int tag, long positionBytes, long address, int lengthBytes) {
      ring.write(tag, positionBytes, address, lengthBytes, false);
    }

    @Override
    public boolean close() {
      return ring.close();
    }
  }
}
