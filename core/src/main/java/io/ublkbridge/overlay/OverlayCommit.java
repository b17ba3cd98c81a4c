package io.ublkbridge.overlay;

import io.ublkbridge.kernel.Errno;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.BitSet;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Makes data and map durable for everybody who waits for that, one group at a time.
///
/// Confined to the queue's event loop, except for [#free]. Whoever comes while a group is under way
/// belongs to the next one, because the kernel may have looked at the pages already.
///
/// ```
///          ┌─ nothing of the map has changed: done
/// DATA_SYNC┴→ JOURNAL → JOURNAL_SYNC → (done, unless more pages) → PLACE ┬→ idle
///     ↑                                                                  │
///     └──────────────────── more pages, or others wait ──────────────────┘
/// ```
///
/// The pages are copied before DATA_SYNC begins, so that no block is named whose data came later.
///
/// **A failed sync is for ever.** Linux reports a lost write-back once and then takes the pages for
/// clean; naming what may be lost is worse than failing every further flush. The same goes for
/// pages that cannot be written to their places: their journal record must stay, and the next
/// attachment replays it. Only a full file system before the record is written is a failure that
/// can pass.
final class OverlayCommit {
  private static final Logger log = LoggerFactory.getLogger(OverlayCommit.class);
  private static final int RETRIES_MAX = 16;

  private enum Stage {
    IDLE,
    DATA_SYNC,
    JOURNAL,
    JOURNAL_SYNC,
    PLACE
  }

  private final OverlayDisk disk;
  private final OverlayIo io;
  private final int tag;
  private final OverlayQueue queue;
  private final Arena arena = Arena.ofShared();
  private final MemorySegment record;
  private final int[] pages;
  private final BitSet owed = new BitSet();
  private @Nullable OverlaySlot waiting;
  private @Nullable OverlaySlot running;
  private Stage stage = Stage.IDLE;
  private int count;
  private int placed;
  private int placing;
  private long doneBytes;
  private int retries;
  private int failedErrno;

  OverlayCommit(OverlayDisk disk, OverlayIo io, int tag, OverlayQueue queue) {
    this.disk = disk;
    this.io = io;
    this.tag = tag;
    this.queue = queue;
    this.record = arena.allocate(disk.layout().journalBytes(), 4096);
    this.pages = new int[disk.layout().journalPages()];
  }

  /// Ends the slot's request once everything that ended before is durable.
  void add(OverlaySlot slot) {
    slot.stage = OverlaySlot.Stage.SYNC;
    if (failedErrno != 0) {
      fail(slot, failedErrno);
      return;
    }
    slot.next = waiting;
    waiting = slot;
    if (stage == Stage.IDLE) {
      startGroup();
    }
  }

  private void startGroup() {
    running = waiting;
    waiting = null;
    disk.map().takeDirty(owed);
    startRound();
  }

  private void startRound() {
    count = 0;
    int page = owed.nextSetBit(0);
    while (page >= 0 && count < pages.length) {
      disk.map().encode(page, JournalRecord.page(record, count));
      pages[count++] = page;
      owed.clear(page);
      page = owed.nextSetBit(page + 1);
    }
    if (count > 0) {
      JournalRecord.seal(record, disk.header().uuid(), count);
    }
    enter(Stage.DATA_SYNC);
  }

  private void enter(Stage next) {
    stage = next;
    retries = 0;
    doneBytes = 0;
    operate();
  }

  private void operate() {
    switch (stage) {
      case IDLE -> {}
      case DATA_SYNC, JOURNAL_SYNC -> io.dataSync(tag);
      case JOURNAL ->
          io.write(
              tag,
              OverlayLayout.JOURNAL_POSITION + doneBytes,
              record.address() + doneBytes,
              Math.toIntExact(JournalRecord.lengthBytes(count) - doneBytes));
      case PLACE ->
          io.write(
              tag,
              disk.layout().mapPosition(pages[placed]) + doneBytes,
              record.address() + JournalRecord.lengthBytes(placed) + doneBytes,
              Math.toIntExact((long) placing * OverlayLayout.PAGE_BYTES - doneBytes));
    }
  }

  /// Takes the end of an operation.
  void completed(int result) {
    if (result < 0) {
      if (OverlayDisk.transientErrno(-result) && ++retries <= RETRIES_MAX) {
        operate();
      } else {
        failed(-result);
      }
      return;
    }
    switch (stage) {
      case IDLE -> throw new IllegalStateException("nothing is under way");
      case DATA_SYNC -> {
        if (count == 0) {
          endGroup(0);
          goOn();
        } else {
          enter(Stage.JOURNAL);
        }
      }
      case JOURNAL -> {
        if (wrote(result, JournalRecord.lengthBytes(count))) {
          enter(Stage.JOURNAL_SYNC);
        }
      }
      case JOURNAL_SYNC -> {
        placed = 0;
        enterPlace();
        if (owed.isEmpty()) {
          endGroup(0);
        }
      }
      case PLACE -> {
        if (wrote(result, (long) placing * OverlayLayout.PAGE_BYTES)) {
          placed += placing;
          if (placed < count) {
            enterPlace();
          } else {
            goOn();
          }
        }
      }
    }
  }

  /// Writes the next pages that are neighbours in the file.
  private void enterPlace() {
    placing = 1;
    while (placed + placing < count && pages[placed + placing] == pages[placed] + placing) {
      placing++;
    }
    enter(Stage.PLACE);
  }

  private boolean wrote(int bytes, long lengthBytes) {
    if (bytes == 0) {
      failed(Errno.EIO);
      return false;
    }
    doneBytes += bytes;
    if (doneBytes < lengthBytes) {
      operate();
      return false;
    }
    return true;
  }

  /// Gives up for ever, after what cannot be.
  void abandon() {
    stage = Stage.PLACE;
    failed(Errno.EIO);
  }

  private void goOn() {
    stage = Stage.IDLE;
    if (!owed.isEmpty()) {
      startRound();
    } else if (waiting != null) {
      startGroup();
    }
  }

  private void failed(int errno) {
    if (stage == Stage.JOURNAL && OverlayDisk.full(errno)) {
      for (int i = 0; i < count; i++) {
        disk.map().markDirty(pages[i]);
      }
      owed.stream().forEach(disk.map()::markDirty);
      owed.clear();
      endGroup(errno);
      goOn();
      return;
    }
    log.error(
        "{}: the overlay cannot be made durable ({}): {}; every further flush fails. Check the file"
            + " system below, then detach and attach again",
        disk.name(),
        stage,
        Errno.describe(errno));
    failedErrno = errno;
    stage = Stage.IDLE;
    endGroup(errno);
    running = waiting;
    waiting = null;
    endGroup(errno);
  }

  private void endGroup(int errno) {
    OverlaySlot slot = running;
    running = null;
    while (slot != null) {
      OverlaySlot following = slot.next;
      slot.next = null;
      if (errno == 0) {
        queue.complete(slot);
      } else {
        fail(slot, errno);
      }
      slot = following;
    }
  }

  private void fail(OverlaySlot slot, int errno) {
    queue.fail(slot, OverlayDisk.errorOf(errno), disk.failure("flush", errno));
  }

  /// Frees the memory; nothing is under way any more.
  void free() {
    arena.close();
  }
}
