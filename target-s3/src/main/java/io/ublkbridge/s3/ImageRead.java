package io.ublkbridge.s3;

import io.ublkbridge.target.BlockRequest;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/// One READ under way: its pieces are fetched side by side, and stored as they arrive, so that they
/// are nowhere else. Confined to the event loop.
final class ImageRead {
  private final BlockRequest request;
  private final S3Image image;
  private final ObjectStore store;
  private final ByteBudget budget;
  private final MemorySegment scratch;
  private final LongSupplier nanoTime;
  private final List<Piece> pieces = new ArrayList<>(1);
  private int unended;
  private @Nullable StoreException failure;

  /// @param scratch off the heap, for what arrives on it; used only from one call to its end
  ImageRead(
      BlockRequest request,
      S3Image image,
      ObjectStore store,
      ByteBudget budget,
      MemorySegment scratch,
      LongSupplier nanoTime) {
    this.request = request;
    this.image = image;
    this.store = store;
    this.budget = budget;
    this.scratch = scratch;
    this.nanoTime = nanoTime;
  }

  /// @param pieceBytes the longest piece
  void start(int pieceBytes) {
    long end = Math.min(request.offsetBytes() + request.lengthBytes(), image.object().sizeBytes());
    for (long offset = request.offsetBytes(); offset < end; offset += pieceBytes) {
      pieces.add(new Piece(offset, (int) Math.min(pieceBytes, end - offset)));
    }
    unended = pieces.size();
    for (Piece piece : List.copyOf(pieces)) {
      budget.take(piece);
    }
  }

  private void pieceEnded() {
    if (--unended > 0) {
      return;
    }
    image.end(request, failure, nanoTime.getAsLong());
  }

  /// A range of the object that is one GET.
  private final class Piece implements ByteBudget.Taker, Destination, ObjectStore.End {
    private final long offsetBytes;
    private final int lengthBytes;

    Piece(long offsetBytes, int lengthBytes) {
      this.offsetBytes = offsetBytes;
      this.lengthBytes = lengthBytes;
    }

    @Override
    public long lengthBytes() {
      return lengthBytes;
    }

    @Override
    public void granted() {
      if (failure == null) {
        store.get(image.object(), offsetBytes, this, this);
      } else {
        ended(null);
      }
    }

    @Override
    public boolean background() {
      return request.background();
    }

    @Override
    public void put(long at, MemorySegment from) {
      long start = offsetBytes - request.offsetBytes() + at;
      long size = from.byteSize();
      for (long done = 0, length; done < size; done += length) {
        length = Math.min(size - done, scratch.byteSize());
        MemorySegment.copy(from, done, scratch, 0, length);
        request.storePayload(start + done, scratch.asSlice(0, length));
      }
    }

    @Override
    public void ended(@Nullable StoreException why) {
      budget.giveBack(lengthBytes);
      if (why != null && failure == null) {
        failure = why;
      }
      pieceEnded();
    }
  }
}
