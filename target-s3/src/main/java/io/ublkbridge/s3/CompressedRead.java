package io.ublkbridge.s3;

import io.ublkbridge.target.BlockRequest;
import java.lang.foreign.MemorySegment;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/// One READ of a compressed image under way: stores its part of each frame as that arrives.
/// Confined to the event loop.
final class CompressedRead implements Frames.Waiter {
  private final BlockRequest request;
  private final S3Image image;
  private final SeekTable table;
  private final LongSupplier nanoTime;
  private final long offsetBytes;
  private final long endBytes;
  private int unended;
  private @Nullable StoreException failure;

  CompressedRead(BlockRequest request, S3Image image, SeekTable table, LongSupplier nanoTime) {
    this.request = request;
    this.image = image;
    this.table = table;
    this.nanoTime = nanoTime;
    this.offsetBytes = request.offsetBytes();
    this.endBytes = Math.min(offsetBytes + request.lengthBytes(), table.imageBytes());
  }

  /// @param getBytes how long a GET of several frames may be
  void start(Frames frames, int getBytes) {
    int first = table.frameOf(offsetBytes);
    int last = table.frameOf(endBytes - 1);
    for (int i = first; i <= last; i++) {
      unended += table.length(i) == 0 ? 0 : 1;
    }
    frames.want(first, last, getBytes, this);
  }

  @Override
  public void arrived(int frame, MemorySegment bytes) {
    if (failure == null) {
      long start = table.start(frame);
      long from = Math.max(offsetBytes, start);
      long to = Math.min(endBytes, start + bytes.byteSize());
      request.storePayload(from - offsetBytes, bytes.asSlice(from - start, to - from));
    }
    ended();
  }

  @Override
  public boolean background() {
    return request.background();
  }

  @Override
  public void failed(int frame, StoreException why) {
    if (failure == null) {
      failure = why;
    }
    ended();
  }

  private void ended() {
    if (--unended == 0) {
      image.end(request, failure, nanoTime.getAsLong());
    }
  }
}
