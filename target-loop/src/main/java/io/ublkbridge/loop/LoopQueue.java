package io.ublkbridge.loop;

import io.ublkbridge.kernel.BufferPool;
import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.IoBuffer;
import io.ublkbridge.kernel.RingFile;
import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import io.ublkbridge.target.PayloadException;
import io.ublkbridge.target.TargetQueue;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// One queue's lane to a file: takes each request through its steps.
///
/// Confined to the queue's event loop, except for [#close].
///
/// ```
/// READ          READ, again while short ──────────────────────────────→ store, complete
/// WRITE         load, WRITE (with RWF_DSYNC if durable), again while short → complete
///               (both without load and store where the payload can be used in place)
/// FLUSH         SYNC ─────────────────────────────────────────────────→ complete
/// DISCARD       PUNCH_HOLE ───────────────────────────────────────────→ complete
/// WRITE_ZEROES  PUNCH_HOLE if mayUnmap, else or where that is not known
///               ZERO_RANGE, where that is not known
///               ZERO_PAGES, piece by piece; then SYNC if durable ─────→ complete
/// ```
final class LoopQueue implements TargetQueue, RingFile.Completions {
  private static final Logger log = LoggerFactory.getLogger(LoopQueue.class);

  /// How often in a row a step may be interrupted. The kernel retries most of these by itself.
  private static final int RETRIES_MAX = 16;

  static final long ZEROES_BYTES = 256 << 10;

  /// From this length on payload is moved in place, which saves a copy and a system call. File
  /// systems and page caches hardly ever send less.
  static final long IN_PLACE_BYTES_MIN = 4096;

  private final LoopFile file;
  private final FileIo io;
  private final LoopSlot[] slots;
  private final SyncGroup syncs;
  private final BufferPool buffers;
  private final Arena zeroesArena = Arena.ofShared();
  private MemorySegment zeroes = MemorySegment.NULL;
  private @Nullable LoopSlot free;

  /// Whether the file system has once refused ZERO_RANGE, so that it is not asked again.
  private boolean zeroRangeRefused;

  /// The same of payload in place.
  private boolean inPlaceRefused;

  LoopQueue(LoopFile file, int depth, FileIo io) {
    this.file = file;
    this.io = io;
    this.slots = new LoopSlot[depth + 1];
    for (int i = depth; i >= 0; i--) {
      slots[i] = new LoopSlot(i);
      if (i < depth) {
        slots[i].next = free;
        free = slots[i];
      }
    }
    this.syncs = new SyncGroup(io, slots[depth]);
    this.buffers = new BufferPool(depth, file.geometry().maxIoBytes());
  }

  @Override
  public void submit(BlockRequest request) {
    if (!refused(request)) {
      LoopSlot slot = free;
      if (slot == null) {
        request.fail(IoError.IO, new IllegalStateException("more requests than the queue's depth"));
        return;
      }
      free = slot.next;
      slot.next = null;
      slot.occupy(request);
      begin(slot, request);
    }
  }

  /// Ends a request that needs nothing of the file, or cannot be served.
  private boolean refused(BlockRequest request) {
    long lengthBytes = request.lengthBytes();
    if (!Ranges.within(request, file.geometry().sizeBytes())) {
      request.fail(IoError.IO, Ranges.outside(request, file.geometry().sizeBytes()));
      return true;
    }
    if (!file.capabilities().allows(request.operation())) {
      request.fail(IoError.UNSUPPORTED, null);
      return true;
    }
    if (request.operation().hasPayload() && lengthBytes > file.geometry().maxIoBytes()) {
      request.fail(IoError.IO, new IllegalArgumentException(lengthBytes + " bytes are too long"));
      return true;
    }
    if (lengthBytes == 0 && request.operation() != Operation.FLUSH) {
      request.complete();
      return true;
    }
    return false;
  }

  private void begin(LoopSlot slot, BlockRequest request) {
    try {
      switch (request.operation()) {
        case READ, WRITE -> {
          int registered = request.payloadBuffer();
          boolean inPlace =
              registered != BlockRequest.NO_BUFFER
                  && request.lengthBytes() >= IN_PLACE_BYTES_MIN
                  && !inPlaceRefused;
          if (inPlace) {
            slot.useInPlace(registered);
          } else {
            useCopy(slot);
          }
          start(slot, request.operation() == Operation.READ ? LoopStage.READ : LoopStage.WRITE);
        }
        case FLUSH -> sync(slot);
        case DISCARD -> start(slot, LoopStage.PUNCH_HOLE);
        case WRITE_ZEROES -> {
          if (request.mayUnmap() && file.capabilities().discard()) {
            start(slot, LoopStage.PUNCH_HOLE);
          } else {
            zeroRange(slot);
          }
        }
      }
    } catch (PayloadException | OutOfMemoryError e) {
      fail(slot, IoError.IO, e);
    }
  }

  private void useCopy(LoopSlot slot) {
    BlockRequest request = slot.request();
    slot.useBuffer(buffers.take(request.lengthBytes()));
    if (request.operation() == Operation.WRITE) {
      request.loadPayload(0, slot.memory());
    }
  }

  @Override
  public void completed(int index, int result) {
    LoopSlot slot = slots[index];
    try {
      if (index == slots.length - 1) {
        synced(result);
      } else if (result < 0) {
        refused(slot, -result);
      } else {
        progressed(slot, result);
      }
    } catch (Throwable e) {
      // Netty would keep the loop from others for 100 ms, and lose count of what is under way.
      log.error("{}: cannot end a request", file.path(), e);
      if (index < slots.length - 1 && slot.occupied()) {
        fail(slot, IoError.IO, e);
      }
    }
  }

  private void progressed(LoopSlot slot, int result) {
    if (!slot.stage().transfers()) {
      zeroed(slot);
      return;
    }
    if (result == 0) {
      fail(slot, IoError.IO, new IOException(describe(slot) + ": the file has become shorter"));
      return;
    }
    slot.advance(result);
    if (slot.remainingBytes() > 0) {
      io.start(slot);
      return;
    }
    switch (slot.stage()) {
      case READ -> {
        if (!slot.inPlace()) {
          slot.request().storePayload(0, slot.memory());
        }
        complete(slot);
      }
      case WRITE -> complete(slot);
      case PUNCH_HOLE, ZERO_RANGE, ZERO_PAGES, SYNC -> zeroed(slot);
    }
  }

  private void refused(LoopSlot slot, int errno) {
    if (LoopErrors.transientErrno(errno) && slot.countRetry() <= RETRIES_MAX) {
      io.start(slot);
      return;
    }
    if (slot.inPlace() && LoopErrors.cannotUseInPlace(errno)) {
      copyInstead(slot, errno);
      return;
    }
    boolean zeroing = slot.request().operation() == Operation.WRITE_ZEROES;
    if (zeroing && slot.stage() == LoopStage.PUNCH_HOLE && LoopErrors.cannotZero(errno)) {
      zeroRange(slot);
    } else if (slot.stage() == LoopStage.ZERO_RANGE && LoopErrors.cannotZero(errno)) {
      zeroRangeRefused |= errno == Errno.EOPNOTSUPP;
      zeroPages(slot);
    } else {
      fail(slot, errno);
    }
  }

  /// Begins the step again with a copy, because the file does not take foreign pages.
  private void copyInstead(LoopSlot slot, int errno) {
    if (!inPlaceRefused) {
      inPlaceRefused = true;
      log.info(
          "{}: payload cannot be moved in place, {}: it is copied",
          file.path(),
          Errno.describe(errno));
    }
    try {
      useCopy(slot);
      start(slot, slot.stage());
    } catch (PayloadException | OutOfMemoryError e) {
      fail(slot, IoError.IO, e);
    }
  }

  private void zeroRange(LoopSlot slot) {
    if (zeroRangeRefused) {
      zeroPages(slot);
    } else {
      start(slot, LoopStage.ZERO_RANGE);
    }
  }

  private void zeroPages(LoopSlot slot) {
    if (zeroes.byteSize() == 0) {
      zeroes = zeroesArena.allocate(ZEROES_BYTES, 4096).asReadOnly();
    }
    slot.useZeroes(zeroes);
    start(slot, LoopStage.ZERO_PAGES);
  }

  private void zeroed(LoopSlot slot) {
    if (slot.request().durable()) {
      sync(slot);
    } else {
      complete(slot);
    }
  }

  private void sync(LoopSlot slot) {
    slot.enter(LoopStage.SYNC);
    if (syncs.failedErrno() != 0) {
      fail(slot, syncs.failedErrno());
    } else {
      syncs.add(slot);
    }
  }

  private void synced(int result) {
    int errno = result < 0 ? -result : 0;
    if (LoopErrors.transientErrno(errno) && slots[slots.length - 1].countRetry() <= RETRIES_MAX) {
      syncs.restart();
      return;
    }
    if (errno != 0 && syncs.failedErrno() == 0) {
      log.error(
          "{}: fdatasync failed: {}; written data may be lost, every further flush of this queue"
              + " fails. Check the file system below, then attach again",
          file.path(),
          Errno.describe(errno));
    }
    LoopSlot slot = syncs.finish(errno);
    // A group that was started after the failure cannot vouch for what was lost before.
    int outcome = syncs.failedErrno();
    while (slot != null) {
      LoopSlot following = slot.next;
      slot.next = null;
      if (outcome == 0) {
        complete(slot);
      } else {
        fail(slot, outcome);
      }
      slot = following;
    }
  }

  private void start(LoopSlot slot, LoopStage stage) {
    slot.enter(stage);
    io.start(slot);
  }

  private void complete(LoopSlot slot) {
    release(slot).complete();
  }

  private void fail(LoopSlot slot, int errno) {
    String what = describe(slot) + ": " + Errno.describe(errno);
    fail(slot, LoopErrors.of(errno), new IOException(what));
  }

  private void fail(LoopSlot slot, IoError error, Throwable cause) {
    release(slot).fail(error, cause);
  }

  /// Makes the slot free for the next request, which the end of this one may bring at once.
  private BlockRequest release(LoopSlot slot) {
    BlockRequest request = slot.request();
    IoBuffer buffer = slot.buffer();
    if (buffer != null) {
      buffers.give(buffer);
    }
    slot.vacate();
    slot.next = free;
    free = slot;
    return request;
  }

  private String describe(LoopSlot slot) {
    BlockRequest request = slot.request();
    return "%s (%s) of %d bytes at %d of %s"
        .formatted(
            request.operation(),
            slot.stage(),
            request.lengthBytes(),
            request.offsetBytes(),
            file.path());
  }

  @Override
  public void close() {
    if (io.close()) {
      buffers.close();
      zeroesArena.close();
    } else {
      log.warn("{}: I/O is still under way; its memory is never freed", file.path());
    }
  }
}
