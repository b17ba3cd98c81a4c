package io.ublkbridge.overlay;

import io.ublkbridge.kernel.Errno;
import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import io.ublkbridge.target.PayloadException;
import io.ublkbridge.target.TargetQueue;
import java.io.IOException;
import org.jspecify.annotations.Nullable;

/// The road of what changes the disk: WRITE, DISCARD, WRITE_ZEROES. The slot has claimed its
/// blocks.
///
/// Confined to the queue's event loop. The map changes only when the bytes that it will name are in
/// the file. A block that is not in the file yet is written as a whole, so that whatever an earlier
/// life left at its place is never seen; one that is there already is changed in place.
///
/// ```
/// WRITE                  FILL the first and last block if they are partial and elsewhere,
///                        load the payload over that, WRITE, map := DATA
/// DISCARD, WRITE_ZEROES  the partial first and last block as a WRITE of zeroes,
///                        whole blocks: map := ZERO, PUNCH what was DATA
/// ```
final class OverlayWriter {
  private static final int HEAD = 0;
  private static final int TAIL = 1;
  private static final int WHOLE_BLOCKS = 2;

  private final OverlayLayout layout;
  private final OverlayDisk disk;
  private final OverlayIo io;
  private final TargetQueue base;
  private final OverlayQueue queue;

  /// Whether the file system has once refused to make a hole, so that it is not asked again.
  private boolean punchRefused;

  OverlayWriter(OverlayDisk disk, OverlayIo io, TargetQueue base, OverlayQueue queue) {
    this.layout = disk.layout();
    this.disk = disk;
    this.io = io;
    this.base = base;
    this.queue = queue;
  }

  void begin(OverlaySlot slot) {
    BlockRequest request = slot.request();
    if (request.operation() == Operation.WRITE) {
      patch(slot, request.offsetBytes(), slot.endBytes());
    } else {
      zeroNext(slot);
    }
  }

  /// Takes a DISCARD or WRITE_ZEROES to its next part.
  private void zeroNext(OverlaySlot slot) {
    long from = slot.request().offsetBytes();
    long to = slot.endBytes();
    long firstWhole = Math.ceilDiv(from, OverlayLayout.BLOCK_BYTES);
    long endWhole = to == layout.sizeBytes() ? layout.blocks() : OverlayLayout.blockOf(to);
    long headEnd = Math.min(to, OverlayLayout.start(firstWhole));
    long tailStart = Math.max(headEnd, OverlayLayout.start(endWhole));
    while (slot.step <= WHOLE_BLOCKS) {
      switch (slot.step++) {
        case HEAD -> {
          if (from < headEnd && disk.map().state(slot.firstBlock) != BlockState.ZERO) {
            patch(slot, from, headEnd);
            return;
          }
        }
        case TAIL -> {
          if (tailStart < to && disk.map().state(slot.endBlock - 1) != BlockState.ZERO) {
            patch(slot, tailStart, to);
            return;
          }
        }
        default -> {
          if (firstWhole < endWhole && zeroWhole(slot, firstWhole, endWhole)) {
            return;
          }
        }
      }
    }
    queue.changed(slot);
  }

  /// @return whether a hole is being made
  private boolean zeroWhole(OverlaySlot slot, long first, long end) {
    boolean hole =
        !punchRefused
            && (slot.request().operation() == Operation.DISCARD || slot.request().mayUnmap())
            && disk.map().any(first, end, BlockState.DATA);
    disk.map().set(first, end, BlockState.ZERO);
    if (hole) {
      slot.stage = OverlaySlot.Stage.PUNCH;
      long position = OverlayLayout.start(first);
      io.punchHole(
          slot.index(), layout.dataPosition(position), OverlayLayout.start(end) - position);
    }
    return hole;
  }

  /// Takes the end of making a hole. Without one the zeroes only take more room.
  void punched(OverlaySlot slot, int result) {
    punchRefused |= result == -Errno.EOPNOTSUPP;
    zeroNext(slot);
  }

  /// Writes payload or zeroes to a range of the disk.
  private void patch(OverlaySlot slot, long from, long to) {
    long first = OverlayLayout.blockOf(from);
    long last = OverlayLayout.blockOf(to - 1);
    boolean firstPartial =
        from > OverlayLayout.start(first) || (first == last && to < layout.end(first));
    boolean lastPartial = first != last && to < layout.end(last);
    slot.patchFrom = from;
    slot.patchTo = to;
    slot.fillFirst = firstPartial && disk.map().state(first) != BlockState.DATA;
    slot.fillLast = lastPartial && disk.map().state(last) != BlockState.DATA;
    long start = slot.fillFirst ? OverlayLayout.start(first) : from;
    boolean toBlockEnd = slot.fillLast || (first == last && slot.fillFirst);
    long end = toBlockEnd ? layout.end(last) : to;
    try {
      queue.giveBuffer(slot);
      queue.takeBuffer(slot, start, end);
    } catch (OutOfMemoryError e) {
      queue.changeFailed(slot, IoError.IO, e);
      return;
    }
    fillNext(slot);
  }

  private void fillNext(OverlaySlot slot) {
    while (slot.fillFirst || slot.fillLast) {
      long block = OverlayLayout.blockOf(slot.fillFirst ? slot.patchFrom : slot.patchTo - 1);
      if (slot.fillFirst) {
        slot.fillFirst = false;
      } else {
        slot.fillLast = false;
      }
      long start = OverlayLayout.start(block);
      if (disk.map().state(block) == BlockState.BASE) {
        slot.stage = OverlaySlot.Stage.FILL;
        base.submit(slot.basePart().of(start, layout.end(block)));
        return;
      }
      slot.memory(start, layout.end(block)).fill((byte) 0);
    }
    merge(slot);
  }

  /// Takes the end of the base's part of a block.
  void filled(OverlaySlot slot, @Nullable IoError error, @Nullable Throwable cause) {
    if (error == null) {
      fillNext(slot);
    } else {
      queue.changeFailed(slot, error, cause);
    }
  }

  private void merge(OverlaySlot slot) {
    BlockRequest request = slot.request();
    try {
      if (request.operation() == Operation.WRITE) {
        request.loadPayload(0, slot.memory(slot.patchFrom, slot.patchTo));
      } else {
        slot.memory(slot.patchFrom, slot.patchTo).fill((byte) 0);
      }
    } catch (PayloadException e) {
      queue.changeFailed(slot, IoError.IO, e);
      return;
    }
    slot.stage = OverlaySlot.Stage.WRITE;
    operate(slot);
  }

  /// Starts the write to the file, or what is left of it.
  void operate(OverlaySlot slot) {
    io.write(
        slot.index(), layout.dataPosition(slot.transferFrom), slot.address(), slot.transferBytes());
  }

  /// Takes the end of a write to the file.
  void transferred(OverlaySlot slot, int result) {
    if (result < 0) {
      queue.changeFailed(slot, OverlayDisk.errorOf(-result), disk.failure("write", -result));
    } else if (result == 0) {
      queue.changeFailed(
          slot, IoError.IO, new IOException("the overlay " + disk.name() + " takes no more"));
    } else {
      slot.advance(result);
      if (slot.transferBytes() > 0) {
        operate(slot);
      } else {
        written(slot);
      }
    }
  }

  private void written(OverlaySlot slot) {
    long first = OverlayLayout.blockOf(slot.patchFrom);
    long end = OverlayLayout.blockOf(slot.patchTo - 1) + 1;
    disk.map().set(first, end, BlockState.DATA);
    if (slot.request().operation() == Operation.WRITE) {
      queue.changed(slot);
    } else {
      zeroNext(slot);
    }
  }
}
