package io.ublkbridge.s3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.netty.channel.IoEventLoop;
import io.ublkbridge.cache.CachedTarget;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.RecordedRequest;
import io.ublkbridge.target.TargetQueue;
import io.ublkbridge.target.TargetUri;
import io.ublkbridge.target.UringLoops;
import java.time.Duration;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/// What reads through the cache cost at the store.
final class ReadCostTest {
  private static final int IMAGE_BYTES = 64 << 20;
  private static final int READ_BYTES = 4096;
  private static final int DEPTH = 32;
  private static final int ROUNDS = 8;

  @Test
  void randomReadsFetchTheirBlocksAndNothingTwice() throws Exception {
    TargetUri uri = TargetUri.parse("s3://images/disk.img");
    try (S3Server server = S3Server.start();
        UringLoops loops = new UringLoops(1)) {
      server.createBucket("images");
      server.put("images", "disk.img", new byte[IMAGE_BYTES]);
      IoEventLoop loop = loops.next();
      OpenContext context =
          new OpenContext(loop, true, Duration.ofSeconds(60), Stores.options(server.url()));
      S3TargetProvider provider = new S3TargetProvider();
      try (BlockTarget target = provider.open(uri, context);
          BlockTarget cached =
              CachedTarget.over(target, uri, context, provider.cacheBytesByDefault());
          TargetQueue queue = cached.openQueue(new QueueContext(0, 1, 64, 1 << 20, loop))) {
        readAll(loop, queue);
        long cold = bytesFetched(target);
        assertTrue(cold <= 20L * ROUNDS * DEPTH * READ_BYTES, "fetched " + cold);

        readAll(loop, queue);
        assertEquals(cold, bytesFetched(target));
      }
    }
  }

  private static void readAll(IoEventLoop loop, TargetQueue queue) {
    SplittableRandom random = new SplittableRandom(3);
    for (int round = 0; round < ROUNDS; round++) {
      RecordedRequest[] reads = new RecordedRequest[DEPTH];
      Arrays.setAll(
          reads,
          _ ->
              RecordedRequest.read(
                  (long) READ_BYTES * random.nextInt(IMAGE_BYTES / READ_BYTES), READ_BYTES));
      UringLoops.submit(loop, queue, reads);
      for (RecordedRequest read : reads) {
        assertNull(read.await());
      }
    }
  }

  private static long bytesFetched(BlockTarget target) {
    return (Long) target.details().getOrDefault("bytesFetched", -1L);
  }
}
