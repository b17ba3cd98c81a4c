package io.ublkbridge.cache;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.FixedTarget;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.RecordedRequest;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetQueue;
import io.ublkbridge.target.TargetUri;
import io.ublkbridge.target.UringLoops;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// On real event loops.
final class CachedTargetTest {
  private static final int SIZE = 16 << 20;
  private static final UringLoops LOOPS = new UringLoops(1);

  @TempDir Path directory;

  /// The target behind: its cache is not used.
  private final CachedDisk disk = new CachedDisk(SIZE, CachedDisk.budget(1, 1, 1), 0);

  private final BlockTarget target =
      new FixedTarget(
          new Geometry(SIZE, 512, 4096, 1 << 20, 1 << 20),
          new Capabilities(false, true, true, true, true, false, 1),
          disk);

  @AfterAll
  static void stopLoops() {
    LOOPS.close();
  }

  private BlockTarget over(String... pairs) throws TargetOpenException {
    Map<String, String> options = new HashMap<>();
    for (int i = 0; i < pairs.length; i += 2) {
      options.put(pairs[i], pairs[i + 1]);
    }
    return CachedTarget.over(target, TargetUri.parse("test:disk"), LOOPS.openContext(options), 0);
  }

  private void readThrough(BlockTarget cached, long offset, int length) throws Exception {
    QueueContext context = LOOPS.queueContext(8);
    try (TargetQueue queue = cached.openQueue(context)) {
      RecordedRequest request = RecordedRequest.read(offset, length);
      UringLoops.submit(context.eventLoop(), queue, request);
      assertNull(request.await());
      disk.check(request);
    }
  }

  @Test
  void withoutACacheTheTargetIsBare() throws Exception {
    assertSame(target, over());
    assertSame(target, over("cache", "off"));
  }

  @Test
  void queuesShareTheBlocksAndStatusTells() throws Exception {
    BlockTarget cached = over("cache", "8M");
    readThrough(cached, 1 << 20, 4096);
    readThrough(cached, 1 << 20, 8192);
    assertEquals(1, disk.askedSince().size());
    Map<?, ?> cache = (Map<?, ?>) Objects.requireNonNull(cached.details().get("cache"));
    assertEquals(8L << 20, cache.get("memory"));
    assertEquals(6L << 20, cache.get("size"), "what is on its way has the rest");
    assertEquals(1L, cache.get("hits"));
    assertEquals(1L, cache.get("misses"));
    assertEquals(50L, cache.get("hitPercent"));
    assertEquals(64L << 10, cache.get("cachedBytes"));
    cached.close();
  }

  @Test
  void recordOfOneRunWarmsTheNext() throws Exception {
    String list = directory.resolve("list").toString();
    BlockTarget first = over("cache", "8M", "record", list, "prefetch", list);
    readThrough(first, 3 << 20, 128 << 10);
    first.close();
    disk.askedSince();

    BlockTarget second = over("cache", "8M", "prefetch", list);
    QueueContext context = LOOPS.queueContext(8);
    second.openQueue(context).close();
    readThrough(second, 3 << 20, 128 << 10);
    Map<?, ?> cache = (Map<?, ?>) Objects.requireNonNull(second.details().get("cache"));
    assertNotNull(cache.get("prefetched"));
    assertTrue(disk.askedSince().size() <= 2);
    second.close();
  }

  @Test
  void listOfAnotherImageIsIgnoredAndRubbishRefused() throws Exception {
    Path other =
        Files.writeString(
            directory.resolve("other"), "ublk-bridge touches 1\nof another\nsize 512\n0 512\n");
    over("cache", "8M", "prefetch", other.toString()).close();
    Path rubbish = Files.writeString(directory.resolve("rubbish"), "x");
    assertThrows(
        TargetOpenException.class, () -> over("cache", "8M", "prefetch", rubbish.toString()));
  }
}
