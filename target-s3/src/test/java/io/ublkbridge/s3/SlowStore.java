package io.ublkbridge.s3;

import java.util.ArrayDeque;

/// A store in good health that brings only so many bytes a second: all GETs in turn, a piece each.
/// What was given up costs it one turn more, as it does where a piece is on its way already.
final class SlowStore extends GetsOnly {
  private static final int PIECE_BYTES = 64 << 10;

  private final long bytesPerSecond;
  private final StoreCounters counters;
  private final ArrayDeque<Get> turns = new ArrayDeque<>();
  private long creditBytes;

  SlowStore(long bytesPerSecond, StoreCounters counters) {
    this.bytesPerSecond = bytesPerSecond;
    this.counters = counters;
  }

  private static final class Get implements Call {
    private final long lengthBytes;
    private final End end;
    private long received;
    private boolean cancelled;

    Get(long lengthBytes, End end) {
      this.lengthBytes = lengthBytes;
      this.end = end;
    }

    @Override
    public void cancel() {
      cancelled = true;
    }

    @Override
    public long receivedBytes() {
      return received;
    }
  }

  /// Serves for so long.
  void serve(long millis) {
    creditBytes += bytesPerSecond * millis / 1000;
    while (!turns.isEmpty()) {
      Get get = turns.getFirst();
      long piece = Math.min(PIECE_BYTES, get.lengthBytes - get.received);
      if (creditBytes < piece) {
        return;
      }
      creditBytes -= piece;
      turns.removeFirst();
      if (get.cancelled) {
        continue;
      }
      get.received += piece;
      counters.fetched(piece);
      if (get.received == get.lengthBytes) {
        get.end.ended(null);
      } else {
        turns.addLast(get);
      }
    }
    creditBytes = 0;
  }

  @Override
  public Call get(ObjectVersion object, long offsetBytes, Destination into, End end) {
    Get get = new Get(into.lengthBytes(), end);
    turns.addLast(get);
    return get;
  }
}
