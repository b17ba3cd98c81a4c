package io.ublkbridge.cache;

import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.TargetQueue;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/// A READ that has to wait for blocks. Confined to the queue's event loop.
///
/// It ends when all of its blocks are on their way and every one of them has come.
final class ReadInProgress {
  private final BlockRequest request;
  private final BlockMap map;
  private final boolean admitted;
  private final long last;
  private long cursor;
  private int outstanding;
  private boolean underWay;
  private boolean again;
  private @Nullable IoError error;
  private @Nullable Throwable cause;

  /// @param cursor the first of its blocks that it has not got
  /// @param admitted whether what it reads may enter the cache
  ReadInProgress(BlockRequest request, BlockMap map, long cursor, boolean admitted) {
    this.request = request;
    this.map = map;
    this.cursor = cursor;
    this.admitted = admitted;
    this.last = map.blockOf(request.offsetBytes() + request.lengthBytes() - 1);
  }

  BlockRequest request() {
    return request;
  }

  boolean admitted() {
    return admitted;
  }

  /// The next block that is neither had nor awaited; beyond [#last] if there is none.
  long cursor() {
    return cursor;
  }

  long last() {
    return last;
  }

  void moveTo(long block) {
    cursor = block;
  }

  /// One block more to wait for.
  void await() {
    outstanding++;
  }

  /// Gives up on the cache: the target is to be asked for the whole request as it is.
  void askTarget() {
    again = true;
    cursor = last + 1;
  }

  /// Takes what `frame` has of the request.
  void store(long block, MemorySegment frame) {
    map.store(request, block, frame);
  }

  /// One of the blocks has come.
  void arrived(TargetQueue target) {
    outstanding--;
    endIfDone(target);
  }

  /// One of the blocks will not come.
  ///
  /// @param wider whether the target was asked for more than this request is about
  void missed(IoError failure, @Nullable Throwable reason, boolean wider, TargetQueue target) {
    outstanding--;
    if (wider && (failure == IoError.IO || failure == IoError.CORRUPT)) {
      // Perhaps it is a neighbour that cannot be read: without a cache this request would not fail.
      again = true;
    } else if (error == null) {
      error = failure;
      cause = reason;
    }
    endIfDone(target);
  }

  /// All of the blocks are on their way, or here.
  void allUnderWay(TargetQueue target) {
    underWay = true;
    endIfDone(target);
  }

  private void endIfDone(TargetQueue target) {
    if (!underWay || outstanding > 0) {
      return;
    }
    if (error != null) {
      request.fail(error, cause);
    } else if (again) {
      target.submit(request);
    } else {
      request.complete();
    }
  }
}
