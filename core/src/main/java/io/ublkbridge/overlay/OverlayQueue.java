package io.ublkbridge.overlay;

import io.netty.channel.IoEventLoop;
import io.ublkbridge.kernel.BufferPool;
import io.ublkbridge.kernel.IoBuffer;
import io.ublkbridge.kernel.RingFile;
import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.TargetQueue;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// The one lane to an overlay: gives each request a slot and a road, and ends it.
///
/// Confined to the queue's event loop, except for [#close].
///
/// ```
/// READ          [OverlayReader]: each block from where it is
/// WRITE         claim its blocks → [OverlayWriter] → map says DATA → complete
/// DISCARD       claim its blocks → [OverlayWriter] → map says ZERO → hole in the file → complete
/// WRITE_ZEROES  the same
/// FLUSH         [OverlayCommit]: data durable, then the map that names it
/// ```
final class OverlayQueue implements TargetQueue, RingFile.Completions {
  private static final Logger log = LoggerFactory.getLogger(OverlayQueue.class);

  /// How often in a row an operation may be interrupted. The kernel retries most by itself.
  private static final int RETRIES_MAX = 16;

  private static final long FINAL_FLUSH_SECONDS = 60;

  private final OverlayDisk disk;
  private final OverlayIo io;
  private final TargetQueue base;
  private final IoEventLoop eventLoop;
  private final OverlaySlot[] slots;
  private final BufferPool buffers;
  private final OverlayReader reader;
  private final OverlayWriter writer;
  private final @Nullable OverlayCommit commit;
  private final Claims claims;
  private @Nullable OverlaySlot free;
  private boolean waking;

  /// @param writable whether anything may be changed; a read-only file has nothing to flush
  OverlayQueue(
      OverlayDisk disk, OverlayIo io, TargetQueue base, QueueContext context, boolean writable) {
    this.disk = disk;
    this.io = io;
    this.base = base;
    this.eventLoop = context.eventLoop();
    int depth = context.depth();
    int blocksMax = context.maxIoBytes() / OverlayLayout.BLOCK_BYTES + 2;
    // A partial write takes whole blocks at both of its ends.
    this.buffers = new BufferPool(depth, context.maxIoBytes() + 2 * OverlayLayout.BLOCK_BYTES);
    this.slots = new OverlaySlot[depth];
    for (int i = depth - 1; i >= 0; i--) {
      slots[i] = new OverlaySlot(i, blocksMax, this);
      slots[i].next = free;
      free = slots[i];
    }
    this.claims = new Claims(depth);
    this.reader = new OverlayReader(disk, io, base, this);
    this.writer = new OverlayWriter(disk, io, base, this);
    this.commit = writable ? new OverlayCommit(disk, io, depth, this) : null;
  }

  @Override
  public void submit(BlockRequest request) {
    Operation operation = request.operation();
    if (commit == null && operation.modifies()) {
      request.fail(IoError.UNSUPPORTED, null);
      return;
    }
    if (operation == Operation.FLUSH ? commit == null : request.lengthBytes() == 0) {
      request.complete();
      return;
    }
    OverlaySlot slot = free;
    if (slot == null) {
      request.fail(IoError.IO, new IllegalStateException("more requests than the queue's depth"));
      return;
    }
    free = slot.next;
    slot.next = null;
    slot.occupy(request);
    begin(slot, operation);
  }

  private void begin(OverlaySlot slot, Operation operation) {
    switch (operation) {
      case READ -> reader.begin(slot);
      case FLUSH -> commit(slot);
      case WRITE, DISCARD, WRITE_ZEROES -> {
        slot.firstBlock = OverlayLayout.blockOf(slot.request().offsetBytes());
        slot.endBlock = OverlayLayout.blockOf(slot.endBytes() - 1) + 1;
        slot.stage = OverlaySlot.Stage.CLAIM;
        if (claims.claim(slot)) {
          writer.begin(slot);
        }
      }
    }
  }

  private void commit(OverlaySlot slot) {
    if (commit == null) {
      throw new IllegalStateException("nothing can be written");
    }
    commit.add(slot);
  }

  /// Takes the end of an operation from the ring, which no exception may reach: Netty would keep
  /// the loop from others for 100 ms, and lose count of what is under way.
  void completedInRing(int tag, int result) {
    try {
      completed(tag, result);
    } catch (Throwable e) {
      log.error("{}: cannot end an operation", disk.name(), e);
      abandon(tag, e);
    }
  }

  private void abandon(int tag, Throwable cause) {
    if (tag < slots.length && slots[tag].occupied()) {
      if (claims.holds(slots[tag])) {
        changeFailed(slots[tag], IoError.IO, cause);
      } else {
        fail(slots[tag], IoError.IO, cause);
      }
    } else if (commit != null) {
      commit.abandon();
    }
  }

  @Override
  public void completed(int tag, int result) {
    if (tag < slots.length) {
      ended(slots[tag], result);
    } else if (commit != null) {
      commit.completed(result);
    }
  }

  private void ended(OverlaySlot slot, int result) {
    boolean again =
        result < 0 && OverlayDisk.transientErrno(-result) && slot.countRetry() <= RETRIES_MAX;
    switch (slot.stage) {
      case READ -> {
        if (again) {
          reader.operate(slot);
        } else {
          reader.transferred(slot, result);
        }
      }
      case WRITE -> {
        if (again) {
          writer.operate(slot);
        } else {
          writer.transferred(slot, result);
        }
      }
      case PUNCH -> writer.punched(slot, result);
      case CLAIM, FILL, SYNC ->
          throw new IllegalStateException("slot " + slot.index() + " has no operation");
    }
  }

  /// Takes bytes that the base supplies for a slot.
  void baseSupplied(OverlaySlot slot, long position, MemorySegment from) {
    if (slot.stage == OverlaySlot.Stage.FILL) {
      slot.memory(position, position + from.byteSize()).copyFrom(from);
    } else {
      reader.supply(slot, BlockState.BASE, position, from);
    }
  }

  /// Takes the end of what a slot asked of the base.
  void baseEnded(OverlaySlot slot, @Nullable IoError error, @Nullable Throwable cause) {
    if (slot.stage == OverlaySlot.Stage.FILL) {
      writer.filled(slot, error, cause);
    } else {
      reader.pieceEnded(slot, error, cause);
    }
  }

  /// A buffer for a range of the disk.
  ///
  /// @throws OutOfMemoryError if there is none
  void takeBuffer(OverlaySlot slot, long from, long to) {
    slot.useBuffer(buffers.take(to - from), from, to);
  }

  void giveBuffer(OverlaySlot slot) {
    IoBuffer buffer = slot.takeBuffer();
    if (buffer != null) {
      buffers.give(buffer);
    }
  }

  /// Ends a modification that is done.
  void changed(OverlaySlot slot) {
    claims.release(slot);
    if (slot.request().durable()) {
      commit(slot);
    } else {
      complete(slot);
    }
    wake();
  }

  /// Ends a modification that went wrong.
  void changeFailed(OverlaySlot slot, IoError error, @Nullable Throwable cause) {
    claims.release(slot);
    fail(slot, error, cause);
    wake();
  }

  /// Starts those whose blocks are free now. One that ends at once would come here again.
  private void wake() {
    if (waking) {
      return;
    }
    waking = true;
    try {
      OverlaySlot slot = claims.next();
      while (slot != null) {
        writer.begin(slot);
        slot = claims.next();
      }
    } finally {
      waking = false;
    }
  }

  void complete(OverlaySlot slot) {
    release(slot).complete();
  }

  void fail(OverlaySlot slot, IoError error, @Nullable Throwable cause) {
    release(slot).fail(error, cause);
  }

  /// Makes the slot free for the next request, which the end of this one may bring at once.
  private BlockRequest release(OverlaySlot slot) {
    BlockRequest request = slot.request();
    giveBuffer(slot);
    slot.vacate();
    slot.next = free;
    free = slot;
    return request;
  }

  @Override
  public void close() {
    if (commit != null && flushed()) {
      try {
        OverlayFormat.writeStatus(disk.storage(), true);
      } catch (IOException e) {
        log.warn("{}: cannot note that it is in order: {}", disk.name(), e.getMessage());
      }
    }
    release();
  }

  /// Gives everything back as it is.
  void release() {
    if (io.close()) {
      buffers.close();
      reader.free();
      if (commit != null) {
        commit.free();
      }
    } else {
      log.warn("{}: I/O is still under way; its memory is never freed", disk.name());
    }
    base.close();
  }

  /// Makes everything durable that was never flushed. The first flush may end before its map pages
  /// are in their places; the second one waits for that.
  private boolean flushed() {
    try {
      for (int i = 0; i < 2; i++) {
        FinalFlush flush = new FinalFlush();
        eventLoop.execute(() -> submit(flush));
        flush.ended().get(FINAL_FLUSH_SECONDS, TimeUnit.SECONDS);
      }
      return true;
    } catch (RejectedExecutionException e) {
      log.warn("{}: what was not flushed is lost: the event loop has ended", disk.name());
    } catch (ExecutionException | TimeoutException e) {
      log.error("{}: what was not flushed is lost: {}", disk.name(), e.toString());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    return false;
  }
}
