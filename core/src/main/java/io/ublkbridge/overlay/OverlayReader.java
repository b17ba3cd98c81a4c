package io.ublkbridge.overlay;

import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.TargetQueue;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/// The road of a READ: every block from the place where the map has it when the READ begins.
///
/// Confined to the queue's event loop. Blocks of both places may alternate: then the file is read
/// once from the first to the last of its blocks, the base likewise and at the same time, and what
/// belongs to the other is left out. So a READ costs one round trip to the base, never one for each
/// block.
final class OverlayReader {
  private static final int ZEROES_BYTES = 64 << 10;

  private final OverlayLayout layout;
  private final OverlayDisk disk;
  private final OverlayIo io;
  private final TargetQueue base;
  private final OverlayQueue queue;
  private final Arena arena = Arena.ofShared();
  private final MemorySegment zeroes = arena.allocate(ZEROES_BYTES, 4096).asReadOnly();

  OverlayReader(OverlayDisk disk, OverlayIo io, TargetQueue base, OverlayQueue queue) {
    this.layout = disk.layout();
    this.disk = disk;
    this.io = io;
    this.base = base;
    this.queue = queue;
  }

  void begin(OverlaySlot slot) {
    slot.stage = OverlaySlot.Stage.READ;
    BlockRequest request = slot.request();
    long from = request.offsetBytes();
    long to = slot.endBytes();
    slot.firstBlock = OverlayLayout.blockOf(from);
    slot.endBlock = OverlayLayout.blockOf(to - 1) + 1;
    if (slot.endBlock - slot.firstBlock > slot.places.length) {
      queue.fail(slot, IoError.IO, new IllegalArgumentException(request + " is too long"));
      return;
    }
    for (long block = slot.firstBlock; block < slot.endBlock; block++) {
      slot.places[(int) (block - slot.firstBlock)] = disk.map().state(block);
    }
    // One for this method, so that nothing ends before all of it is under way.
    slot.pieces = 1;
    supplyZeroes(slot, from, to);
    readFile(slot, from, to);
    readBase(slot, from, to);
    pieceEnded(slot, null, null);
  }

  private void readFile(OverlaySlot slot, long from, long to) {
    long first = first(slot, BlockState.DATA);
    if (first >= 0) {
      long start = Math.max(from, OverlayLayout.start(first));
      long end = Math.min(to, layout.end(last(slot, BlockState.DATA)));
      try {
        queue.takeBuffer(slot, start, end);
      } catch (OutOfMemoryError e) {
        note(slot, IoError.IO, e);
        return;
      }
      slot.pieces++;
      operate(slot);
    }
  }

  private void readBase(OverlaySlot slot, long from, long to) {
    long first = first(slot, BlockState.BASE);
    if (first >= 0) {
      long start = Math.max(from, OverlayLayout.start(first));
      long end = Math.min(to, layout.end(last(slot, BlockState.BASE)));
      slot.pieces++;
      base.submit(slot.basePart().of(start, end));
    }
  }

  private static BlockState place(OverlaySlot slot, long block) {
    return slot.places[(int) (block - slot.firstBlock)];
  }

  private static long first(OverlaySlot slot, BlockState state) {
    for (long block = slot.firstBlock; block < slot.endBlock; block++) {
      if (place(slot, block) == state) {
        return block;
      }
    }
    return -1;
  }

  private static long last(OverlaySlot slot, BlockState state) {
    long block = slot.endBlock - 1;
    while (place(slot, block) != state) {
      block--;
    }
    return block;
  }

  private void supplyZeroes(OverlaySlot slot, long from, long to) {
    long at = from;
    while (at < to) {
      BlockState state = place(slot, OverlayLayout.blockOf(at));
      long end = runEnd(slot, state, at, to);
      if (state == BlockState.ZERO) {
        for (long piece = at; piece < end; piece += ZEROES_BYTES) {
          long lengthBytes = Math.min(ZEROES_BYTES, end - piece);
          MemorySegment memory =
              lengthBytes == ZEROES_BYTES ? zeroes : zeroes.asSlice(0, lengthBytes);
          slot.request().storePayload(piece - from, memory);
        }
      }
      at = end;
    }
  }

  /// Gives the requester those bytes of a piece of the disk whose blocks are in this place.
  void supply(OverlaySlot slot, BlockState state, long position, MemorySegment from) {
    long end = position + from.byteSize();
    long at = position;
    while (at < end) {
      BlockState here = place(slot, OverlayLayout.blockOf(at));
      long run = runEnd(slot, here, at, end);
      if (here == state) {
        MemorySegment bytes =
            run - at == from.byteSize() ? from : from.asSlice(at - position, run - at);
        slot.request().storePayload(at - slot.request().offsetBytes(), bytes);
      }
      at = run;
    }
  }

  private long runEnd(OverlaySlot slot, BlockState state, long at, long limit) {
    long block = OverlayLayout.blockOf(at) + 1;
    while (block < slot.endBlock
        && OverlayLayout.start(block) < limit
        && place(slot, block) == state) {
      block++;
    }
    return Math.min(limit, OverlayLayout.start(block));
  }

  /// Starts the read of the file, or what is left of it.
  void operate(OverlaySlot slot) {
    io.read(
        slot.index(), layout.dataPosition(slot.transferFrom), slot.address(), slot.transferBytes());
  }

  /// Takes the end of a read of the file.
  void transferred(OverlaySlot slot, int result) {
    if (result < 0) {
      pieceEnded(slot, OverlayDisk.errorOf(-result), disk.failure("read", -result));
    } else if (result == 0) {
      pieceEnded(
          slot, IoError.IO, new IOException("the overlay " + disk.name() + " has become shorter"));
    } else {
      slot.advance(result);
      if (slot.transferBytes() > 0) {
        operate(slot);
      } else {
        supply(slot, BlockState.DATA, slot.memoryStart(), slot.memory());
        pieceEnded(slot, null, null);
      }
    }
  }

  private static void note(OverlaySlot slot, IoError error, @Nullable Throwable cause) {
    if (slot.error == null) {
      slot.error = error;
      slot.cause = cause;
    }
  }

  /// Counts a part that has ended; the last one ends the request.
  void pieceEnded(OverlaySlot slot, @Nullable IoError error, @Nullable Throwable cause) {
    if (error != null) {
      note(slot, error, cause);
    }
    if (--slot.pieces > 0) {
      return;
    }
    IoError failed = slot.error;
    if (failed == null) {
      queue.complete(slot);
    } else {
      queue.fail(slot, failed, slot.cause);
    }
  }

  /// Frees the memory; nothing is under way any more.
  void free() {
    arena.close();
  }
}
