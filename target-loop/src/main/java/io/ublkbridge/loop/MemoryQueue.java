package io.ublkbridge.loop;

import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.TargetQueue;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// One queue's view of a RAM disk. Confined to the queue's event loop; the chunks are shared with
/// the other queues' loops.
///
/// Each request ends before [#submit] returns, and payload moves straight between the requester and
/// the chunk. Requests on several queues that overlap in range and time happen in some order, as on
/// any disk, piece by piece of a chunk.
final class MemoryQueue implements TargetQueue {
  private final ChunkTable chunks;
  private final long sizeBytes;
  private final Arena arena = Arena.ofShared();

  /// What a range without a chunk reads as. Never written to.
  private final MemorySegment zeroes = arena.allocate(Chunk.BYTES, 4096).asReadOnly();

  MemoryQueue(ChunkTable chunks, long sizeBytes) {
    this.chunks = chunks;
    this.sizeBytes = sizeBytes;
  }

  @Override
  public void submit(BlockRequest request) {
    if (!Ranges.within(request, sizeBytes)) {
      request.fail(IoError.IO, Ranges.outside(request, sizeBytes));
      return;
    }
    switch (request.operation()) {
      case READ -> {
        read(request);
        request.complete();
      }
      case WRITE -> {
        if (write(request)) {
          request.complete();
        }
      }
      case FLUSH -> request.complete();
      // mayUnmap only matters where allocated zeroes promise later room: memory promises none.
      case DISCARD, WRITE_ZEROES -> {
        zero(request);
        request.complete();
      }
    }
  }

  private void read(BlockRequest request) {
    for (long at = 0, piece; at < request.lengthBytes(); at += piece) {
      long offset = request.offsetBytes() + at;
      long within = offset & (Chunk.BYTES - 1);
      piece = Math.min(Chunk.BYTES - within, request.lengthBytes() - at);
      Chunk chunk = chunks.pinned(offset >>> Chunk.SHIFT);
      if (chunk == null) {
        request.storePayload(at, zeroes.asSlice(0, piece));
        continue;
      }
      try {
        request.storePayload(at, chunk.memory().asSlice(within, piece));
      } finally {
        chunk.unpin();
      }
    }
  }

  /// Returns whether all was written; if not, the request has failed.
  private boolean write(BlockRequest request) {
    for (long at = 0, piece; at < request.lengthBytes(); at += piece) {
      long offset = request.offsetBytes() + at;
      long within = offset & (Chunk.BYTES - 1);
      piece = Math.min(Chunk.BYTES - within, request.lengthBytes() - at);
      Chunk chunk;
      try {
        chunk = chunks.pinnedOrNew(offset >>> Chunk.SHIFT);
      } catch (OutOfMemoryError e) {
        request.fail(IoError.NO_SPACE, e);
        return false;
      }
      try {
        request.loadPayload(at, chunk.memory().asSlice(within, piece));
      } finally {
        chunk.unpin();
      }
    }
    return true;
  }

  private void zero(BlockRequest request) {
    for (long at = 0, piece; at < request.lengthBytes(); at += piece) {
      long offset = request.offsetBytes() + at;
      long within = offset & (Chunk.BYTES - 1);
      piece = Math.min(Chunk.BYTES - within, request.lengthBytes() - at);
      if (within == 0 && (piece == Chunk.BYTES || offset + piece == sizeBytes)) {
        chunks.drop(offset >>> Chunk.SHIFT);
        continue;
      }
      Chunk chunk = chunks.pinned(offset >>> Chunk.SHIFT);
      if (chunk == null) {
        continue;
      }
      try {
        chunk.memory().asSlice(within, piece).fill((byte) 0);
      } finally {
        chunk.unpin();
      }
    }
  }

  @Override
  public void close() {
    arena.close();
  }
}
