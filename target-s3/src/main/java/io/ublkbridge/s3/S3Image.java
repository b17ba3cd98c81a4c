package io.ublkbridge.s3;

import io.ublkbridge.s3.StoreException.Kind;
import io.ublkbridge.target.BlockRequest;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// The object behind a disk, how READs of it end, and what the log says when it cannot be read. Any
/// thread may call.
final class S3Image {
  private static final Logger LOG = LoggerFactory.getLogger(S3Image.class);

  static final int BLOCK_BYTES = 512;

  /// What is behind the object's end, up to the end of its last block.
  static final MemorySegment ZEROES = Arena.global().allocate(BLOCK_BYTES).asReadOnly();

  /// The same failure is told again only when it was gone, and so much later.
  private static final long TELL_AGAIN_NANOS = TimeUnit.MINUTES.toNanos(1);

  /// What was told last.
  ///
  /// @param over whether a read has succeeded since
  private record Told(Kind kind, long nanos, boolean over) {}

  private final S3Uri uri;
  private final ObjectVersion object;
  private final @Nullable SeekTable frames;
  private volatile @Nullable Told told;

  /// @param frames where a compressed image has what; null if the object is the image itself
  S3Image(S3Uri uri, ObjectVersion object, @Nullable SeekTable frames) {
    this.uri = uri;
    this.object = object;
    this.frames = frames;
  }

  S3Uri uri() {
    return uri;
  }

  ObjectVersion object() {
    return object;
  }

  @Nullable SeekTable frames() {
    return frames;
  }

  /// How long the image is, decompressed.
  long sizeBytes() {
    return frames == null ? object.sizeBytes() : frames.imageBytes();
  }

  /// Ends a READ, whose bytes of the image are all stored unless it has failed.
  ///
  /// @param nanos on the loop's clock
  void end(BlockRequest request, @Nullable StoreException failure, long nanos) {
    if (failure != null) {
      failed(failure, nanos);
      request.fail(failure.kind().ioError(), failure);
      return;
    }
    succeeded();
    long padding = request.offsetBytes() + request.lengthBytes() - sizeBytes();
    if (padding > 0) {
      request.storePayload(request.lengthBytes() - padding, ZEROES.asSlice(0, padding));
    }
    request.complete();
  }

  /// How long a disk of these bytes is.
  static long diskBytes(long bytes) {
    return Math.ceilDiv(bytes, BLOCK_BYTES) * BLOCK_BYTES;
  }

  /// A read has failed for good.
  ///
  /// @param nanos on the loop's clock
  private void failed(StoreException why, long nanos) {
    if (why.kind() == Kind.UNREACHABLE) {
      // Told by StoreHealth, once for all reads.
      return;
    }
    synchronized (this) {
      Told last = told;
      if (last != null
          && last.kind() == why.kind()
          && (!last.over() || nanos - last.nanos() < TELL_AGAIN_NANOS)) {
        return;
      }
      told = new Told(why.kind(), nanos, false);
    }
    if (why.kind() == Kind.REPLACED || why.kind() == Kind.GONE) {
      LOG.error(
          "{}: reads fail from now on, {}; they never mix two objects: detach the disk and attach"
              + " it again",
          uri,
          why.message());
    } else {
      LOG.error("{}: reads fail: {}", uri, why.message());
    }
  }

  private void succeeded() {
    Told last = told;
    if (last != null && !last.over()) {
      synchronized (this) {
        told = new Told(last.kind(), last.nanos(), true);
      }
      LOG.info("{}: can be read again", uri);
    }
  }
}
