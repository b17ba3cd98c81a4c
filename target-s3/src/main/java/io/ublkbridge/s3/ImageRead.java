package io.ublkbridge.s3;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;
import io.netty.buffer.Unpooled;
import io.ublkbridge.target.BlockRequest;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/// One READ under way: its pieces are fetched side by side, and each is stored when it is whole.
/// Confined to the event loop.
final class ImageRead {
  private final BlockRequest request;
  private final S3Image image;
  private final ObjectStore store;
  private final ByteBudget budget;
  private final ByteBufAllocator buffers;
  private final LongSupplier nanoTime;
  private final List<Piece> pieces = new ArrayList<>(1);
  private int unended;
  private @Nullable StoreException failure;

  ImageRead(
      BlockRequest request,
      S3Image image,
      ObjectStore store,
      ByteBudget budget,
      ByteBufAllocator buffers,
      LongSupplier nanoTime) {
    this.request = request;
    this.image = image;
    this.store = store;
    this.budget = budget;
    this.buffers = buffers;
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
  private final class Piece implements ByteBudget.Taker, ObjectStore.End {
    private final long offsetBytes;
    private final int lengthBytes;
    private ByteBuf buffer = Unpooled.EMPTY_BUFFER;
    private MemorySegment memory = MemorySegment.NULL;

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
      if (failure != null) {
        over(null);
        return;
      }
      try {
        buffer = buffers.directBuffer(lengthBytes, lengthBytes);
      } catch (OutOfMemoryError e) {
        over(StoreException.noMemory(lengthBytes, e));
        return;
      }
      memory = MemorySegment.ofBuffer(buffer.nioBuffer(0, lengthBytes));
      store.get(image.object(), offsetBytes, memory, this);
    }

    @Override
    public boolean background() {
      return request.background();
    }

    @Override
    public void ended(@Nullable StoreException why) {
      if (why == null && failure == null) {
        request.storePayload(offsetBytes - request.offsetBytes(), memory);
      }
      buffer.release();
      over(why);
    }

    private void over(@Nullable StoreException why) {
      budget.giveBack(lengthBytes);
      if (why != null && failure == null) {
        failure = why;
      }
      pieceEnded();
    }
  }
}
