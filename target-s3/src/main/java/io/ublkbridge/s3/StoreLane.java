package io.ublkbridge.s3;

import io.netty.channel.IoEventLoop;
import io.ublkbridge.target.TargetOpenException;
import java.util.SplittableRandom;

/// One event loop's way to the store. Its counters outlive it.
///
/// @param store closed by whoever uses the lane
record StoreLane(IoEventLoop loop, RetryingObjectStore store, StoreCounters counters) {
  /// How many requests of one queue are under way at once. The client's pool has room for more, so
  /// that no request ever waits there unseen.
  private static final int CONCURRENCY = 64;

  /// Connections beyond those of GETs that are counted: for looks, and for what is being closed.
  private static final int SPARE_CONNECTIONS = 16;

  static StoreLane open(
      StoreConnector connector, String bucket, S3Options options, IoEventLoop loop)
      throws TargetOpenException {
    StoreCounters counters = new StoreCounters();
    RetryingObjectStore.Policy policy =
        new RetryingObjectStore.Policy(options.ioTimeout(), options.lossTimeout(), CONCURRENCY);
    S3ObjectStore store =
        new S3ObjectStore(
            loop,
            connector.client(loop, policy.getsMax() + SPARE_CONNECTIONS),
            connector.credentials(),
            bucket,
            counters);
    return new StoreLane(
        loop,
        new RetryingObjectStore(loop, store, policy, counters, new SplittableRandom()),
        counters);
  }
}
