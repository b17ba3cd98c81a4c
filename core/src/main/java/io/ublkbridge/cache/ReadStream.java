package io.ublkbridge.cache;

/// Reads that follow one another on the disk, or a single one that others may follow. Confined to
/// the queue's event loop.
final class ReadStream {
  /// What is read ahead at first, and the least later.
  static final int WINDOW_BYTES_MIN = 128 << 10;

  /// How far from where it was expected a read may be once the stream is known: the kernel sends
  /// what it reads ahead itself through several queues, and not always in order.
  private static final long TOLERANCE_BYTES = 512 << 10;

  private final Readahead owner;
  private long nextByte;
  private long firstByte;
  private long windowBytes = WINDOW_BYTES_MIN;
  private long aheadUntil;
  private long lastUse;
  private boolean sequential;
  private boolean forgotten;

  ReadStream(Readahead owner) {
    this.owner = owner;
  }

  /// Begins, perhaps anew, with a single read.
  void start(long offsetBytes, long lengthBytes, long now) {
    nextByte = offsetBytes + lengthBytes;
    firstByte = offsetBytes;
    lastUse = now;
  }

  /// Whether a read at this offset goes on where the stream has come to.
  boolean continuesAt(long offsetBytes) {
    return offsetBytes == nextByte;
  }

  /// Whether it is at least close.
  boolean isNear(long offsetBytes) {
    return sequential && Math.abs(offsetBytes - nextByte) <= TOLERANCE_BYTES;
  }

  void extend(long offsetBytes, long lengthBytes, long now) {
    sequential = true;
    nextByte = Math.max(nextByte, offsetBytes + lengthBytes);
    lastUse = now;
  }

  boolean sequential() {
    return sequential;
  }

  /// Where the next read is expected.
  long nextByte() {
    return nextByte;
  }

  /// How far it has come. Reads that stay where they are do not make it longer.
  long runBytes() {
    return nextByte - firstByte;
  }

  long lastUse() {
    return lastUse;
  }

  /// Up to where blocks were asked for.
  long aheadUntil() {
    return Math.max(aheadUntil, nextByte);
  }

  long windowBytes() {
    return windowBytes;
  }

  /// What was read ahead is being used: the next time reads further ahead.
  void askedUntil(long offsetBytes, long windowBytesMax) {
    if (aheadUntil > 0) {
      windowBytes = Math.min(windowBytesMax, 2 * windowBytes);
    }
    aheadUntil = offsetBytes;
  }

  /// A block that was read ahead was given up unread, or could not be read.
  void wasted() {
    windowBytes = Math.max(WINDOW_BYTES_MIN, windowBytes / 2);
  }

  /// Another stream has taken its place.
  void forget() {
    forgotten = true;
  }

  /// Whether the stream may still come to this byte.
  boolean expects(long offsetBytes) {
    return !forgotten && !owner.idle(this) && offsetBytes >= nextByte - TOLERANCE_BYTES;
  }
}
