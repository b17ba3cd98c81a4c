package io.ublkbridge.s3;

import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.TargetQueue;

/// The lane of one ublk queue to an image that is compressed: every READ takes what it needs of the
/// frames that hold it. Confined to the queue's event loop, except [#close].
final class CompressedImageQueue implements TargetQueue {
  private final S3Image image;
  private final SeekTable table;
  private final StoreLane lane;
  private final Frames frames;

  /// @param lane its store is closed with this
  /// @param frames belong to this from now on
  CompressedImageQueue(S3Image image, SeekTable table, StoreLane lane, Frames frames) {
    this.image = image;
    this.table = table;
    this.lane = lane;
    this.frames = frames;
  }

  @Override
  public void submit(BlockRequest request) {
    switch (request.operation()) {
      case READ ->
          new CompressedRead(request, image, table, lane.loop().ticker()::nanoTime)
              .start(frames, S3ImageQueue.PIECE_BYTES);
      case FLUSH -> request.complete();
      case WRITE, DISCARD, WRITE_ZEROES -> request.fail(IoError.IO, null);
    }
  }

  @Override
  public void close() {
    lane.loop().execute(frames::close);
    lane.store().close();
  }
}
