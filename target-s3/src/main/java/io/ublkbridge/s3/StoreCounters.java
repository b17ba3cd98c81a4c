package io.ublkbridge.s3;

import java.util.concurrent.atomic.AtomicLong;

/// What one queue has asked of its store. Written by the queue's event loop, read by anyone.
final class StoreCounters {
  private final AtomicLong gets = new AtomicLong();
  private final AtomicLong bytesFetched = new AtomicLong();
  private final AtomicLong retries = new AtomicLong();
  private final AtomicLong hedges = new AtomicLong();
  private final AtomicLong hedgesWon = new AtomicLong();
  private final AtomicLong throttles = new AtomicLong();
  private final AtomicLong framesDecoded = new AtomicLong();
  private final AtomicLong bytesDecoded = new AtomicLong();

  /// A GET was sent, for the first time or again.
  void got() {
    add(gets, 1);
  }

  void fetched(long lengthBytes) {
    add(bytesFetched, lengthBytes);
  }

  void retried() {
    add(retries, 1);
  }

  void hedged() {
    add(hedges, 1);
  }

  void hedgeWon() {
    add(hedgesWon, 1);
  }

  void throttled() {
    add(throttles, 1);
  }

  /// A frame of a compressed image was decompressed.
  ///
  /// @param lengthBytes of what came out
  void decoded(long lengthBytes) {
    add(framesDecoded, 1);
    add(bytesDecoded, lengthBytes);
  }

  /// GETs sent, with those sent again.
  long gets() {
    return gets.get();
  }

  /// Bytes of objects that have arrived, whether somebody still wanted them or not.
  long bytesFetched() {
    return bytesFetched.get();
  }

  /// GETs sent again after a failure.
  long retries() {
    return retries.get();
  }

  /// GETs sent a second time because the first was slow.
  long hedges() {
    return hedges.get();
  }

  /// Hedges that were answered before the GET that was slow.
  long hedgesWon() {
    return hedgesWon.get();
  }

  /// Times that the store asked to slow down.
  long throttles() {
    return throttles.get();
  }

  /// Frames of a compressed image that were decompressed, some of them again and again.
  long framesDecoded() {
    return framesDecoded.get();
  }

  /// What came out of them.
  long bytesDecoded() {
    return bytesDecoded.get();
  }

  /// One writer: a plain read and an ordered store are enough.
  private static void add(AtomicLong counter, long amount) {
    counter.lazySet(counter.getPlain() + amount);
  }
}
