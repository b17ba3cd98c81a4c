package io.ublkbridge.cache;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.FixedTarget;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import io.ublkbridge.target.UringLoops;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// On a machine with 8 GiB of memory, before a target that gives 512 KiB at once.
final class CacheOptionsTest {
  private static final UringLoops LOOPS = new UringLoops(1);
  private static final CacheOptions.Host HOST = new CacheOptions.Host(() -> 8L << 30, 64 << 20);
  private static final BlockTarget TARGET = target(512 << 10);

  @AfterAll
  static void stopLoops() {
    LOOPS.close();
  }

  private static BlockTarget target(int maxIoBytes) {
    return new FixedTarget(
        new Geometry(1 << 30, 512, 4096, maxIoBytes, 1 << 20),
        new Capabilities(false, true, true, true, true, false, 1),
        new CachedDisk(1, CachedDisk.budget(1, 1, 1), 0));
  }

  private static OpenContext context(String... pairs) {
    Map<String, String> options = new HashMap<>();
    for (int i = 0; i < pairs.length; i += 2) {
      options.put(pairs[i], pairs[i + 1]);
    }
    return LOOPS.openContext(options);
  }

  private static CacheOptions options(BlockTarget target, String... pairs)
      throws TargetOpenException {
    return CacheOptions.of(context(pairs), target, 0, HOST);
  }

  @Test
  void targetSaysWhetherThereIsACache() throws Exception {
    assertEquals(0, options(TARGET).cacheBytes());
    assertEquals(256 << 20, CacheOptions.of(context(), TARGET, 256 << 20, HOST).cacheBytes());
    assertEquals(0, CacheOptions.of(context("cache", "off"), TARGET, 256 << 20, HOST).cacheBytes());
    assertEquals(1 << 30, options(TARGET, "cache", "1G").cacheBytes());
  }

  @Test
  void smallMachineGivesAQuarter() throws Exception {
    CacheOptions.Host small = new CacheOptions.Host(() -> 512 << 20, 64 << 20);
    assertEquals(128 << 20, CacheOptions.of(context(), TARGET, 256 << 20, small).cacheBytes());
  }

  @Test
  void defaultsAreAsTheHelpSays() throws Exception {
    CacheOptions options = options(TARGET, "cache", "64M");
    assertEquals(64 << 10, options.blockBytes());
    assertEquals(8 << 20, options.readaheadBytes());
    assertEquals(Optional.empty(), options.record());
  }

  @Test
  void blockFitsWhatTheTargetGivesAtOnce() throws Exception {
    assertEquals(8 << 10, options(target(12 << 10), "cache", "64M").blockBytes());
  }

  @Test
  void everythingCanBeSaid() throws Exception {
    assertEquals(
        new CacheOptions(
            128 << 20, 4096, 0, Optional.of(Path.of("/r")), Optional.of(Path.of("/p"))),
        options(
            TARGET,
            "cache",
            "128M",
            "cache-block",
            "4K",
            "readahead",
            "off",
            "record",
            "/r",
            "prefetch",
            "/p"));
  }

  @ParameterizedTest
  @CsvSource({
    "cache, 15G, this machine has 8G",
    "cache, 7G, more blocks than the server can keep in mind",
    "cache, 0.5M, at least 16 blocks",
    "cache, big, not a size",
    "cache-block, 2K, a power of two from 4K to 1M",
    "cache-block, 2M, a power of two from 4K to 1M",
    "cache-block, 96K, a power of two from 4K to 1M",
    "cache-block, 1M, at most 512K at once",
    "readahead, 64K, from 128K to 256M",
    "readahead, 1G, from 128K to 256M",
    "readahead, 8M, there is no cache",
    "record, /r, there is no cache",
    "prefetch, /p, there is no cache",
  })
  void nonsenseIsRefused(String name, String value, String why) {
    boolean alone = why.equals("there is no cache");
    TargetOpenException refused =
        assertThrows(
            TargetOpenException.class,
            () ->
                options(
                    TARGET,
                    alone || name.equals("cache") ? name : "cache",
                    alone || name.equals("cache") ? value : "64M",
                    name,
                    value));
    assertEquals(Reason.INVALID, refused.reason());
    String message = String.valueOf(refused.getMessage());
    assertTrue(message.startsWith("--" + name + ": ") && message.contains(why), message);
  }

  @Test
  void whatIsOnItsWayIsBounded() {
    assertEquals(
        new CacheBudget(64 << 10, 3648, 128, 256, 64), CacheBudget.of(256 << 20, 64 << 10, 64));
    assertEquals(new CacheBudget(64 << 10, 10, 2, 2, 2), CacheBudget.of(1 << 20, 64 << 10, 64));
    assertEquals(
        new CacheBudget(1 << 20, (64 << 10) - 64, 32, 32, 0),
        CacheBudget.of(64L << 30, 1 << 20, 0));
    assertEquals(8L << 30, CacheBudget.of(8L << 30, 64 << 10, 0).totalBytes());
  }
}
