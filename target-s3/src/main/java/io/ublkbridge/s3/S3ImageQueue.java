package io.ublkbridge.s3;

import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.TargetQueue;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.function.LongSupplier;

/// The lane of one ublk queue: every READ becomes ranged GETs on the queue's own connections, and
/// ends on the queue's event loop. Confined to it, except [#close].
final class S3ImageQueue implements TargetQueue {
  /// The longest GET. One connection brings some 90 MB/s from AWS, so what is longer comes through
  /// several; shorter pieces would only cost more requests.
  static final int PIECE_BYTES = 4 << 20;

  private final S3Image image;
  private final ObjectStore store;
  private final ByteBudget budget;
  private final LongSupplier nanoTime;
  private final MemorySegment scratch = Arena.ofAuto().allocate(WholeReads.READ_BYTES_MAX);

  /// @param store closed with this
  /// @param budgetBytes how many bytes may be under way
  /// @param nanoTime the loop's clock
  S3ImageQueue(S3Image image, ObjectStore store, long budgetBytes, LongSupplier nanoTime) {
    this.image = image;
    this.store = store;
    this.budget = new ByteBudget(budgetBytes);
    this.nanoTime = nanoTime;
  }

  @Override
  public void submit(BlockRequest request) {
    switch (request.operation()) {
      case READ ->
          new ImageRead(request, image, store, budget, scratch, nanoTime).start(PIECE_BYTES);
      case FLUSH -> request.complete();
      case WRITE, DISCARD, WRITE_ZEROES -> request.fail(IoError.IO, null);
    }
  }

  @Override
  public void close() {
    store.close();
  }
}
