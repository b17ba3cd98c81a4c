package io.ublkbridge.cache;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.cache.CacheCounters.Count;
import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.RecordedRequest;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/// On a disk of 64 MiB with a cache of 32 MiB.
final class ReadaheadTest {
  private static final int SIZE = 64 << 20;
  private static final int STEP = 128 << 10;

  private static CachedDisk disk(long readaheadBytes) {
    return new CachedDisk(SIZE, CachedDisk.budget(512, 64, 256), readaheadBytes);
  }

  @Test
  void windowDoublesWhileTheStreamGoesOn() {
    CachedDisk disk = disk(8 << 20);
    disk.readNow(0, STEP);
    assertEquals(List.of("READ 0K+128K"), disk.askedSince(), "one read is no stream");
    disk.readNow(STEP, STEP);
    assertEquals(List.of("READ 128K+128K", "READ 256K+128K"), disk.askedSince());
    disk.readNow(2 * STEP, STEP);
    assertEquals(List.of("READ 384K+128K"), disk.askedSince());
    for (int at = 3 * STEP; at < 32 << 20; at += STEP) {
      disk.readNow(at, STEP);
    }
    assertEquals(4, disk.count(Count.MISSES), "all but the first two reads were ahead");
    long ahead = disk.count(Count.AHEAD_ISSUED) - disk.count(Count.AHEAD_USED);
    assertTrue(ahead > (4 << 20) / CachedDisk.BLOCK, () -> "only " + ahead + " blocks ahead");
    assertTrue(ahead <= (8 << 20) / CachedDisk.BLOCK, () -> ahead + " blocks ahead");
    assertEquals(0, disk.count(Count.AHEAD_WASTED));
  }

  @Test
  void randomReadsReadNothingAhead() {
    CachedDisk disk = disk(8 << 20);
    SplittableRandom random = new SplittableRandom(1);
    for (int i = 0; i < 2000; i++) {
      disk.readNow(random.nextInt(SIZE / 4096) * 4096L, 4096);
    }
    // A few follow one another by chance.
    assertTrue(disk.count(Count.AHEAD_ISSUED) < 80, () -> "" + disk.count(Count.AHEAD_ISSUED));
  }

  @Test
  void streamsAreToldApart() {
    CachedDisk disk = disk(1 << 20);
    int streams = 12;
    for (int round = 0; round < 16; round++) {
      for (int stream = 0; stream < streams; stream++) {
        disk.readNow(stream * 5L * (1 << 20) + (long) round * STEP, STEP);
      }
    }
    assertEquals(2L * 2 * streams, disk.count(Count.MISSES), "the first two reads of each");
  }

  @Test
  void streamSurvivesRandomReadsInBetween() {
    CachedDisk disk = disk(1 << 20);
    SplittableRandom random = new SplittableRandom(2);
    disk.readNow(0, STEP);
    disk.readNow(STEP, STEP);
    long misses = 0;
    for (int at = 2 * STEP; at < 4 << 20; at += STEP) {
      for (int i = 0; i < 20; i++) {
        disk.readNow((32 << 20) + random.nextInt((32 << 20) / 4096) * 4096L, 4096);
      }
      long before = disk.count(Count.MISSES);
      disk.readNow(at, STEP);
      misses += disk.count(Count.MISSES) - before;
    }
    assertEquals(0, misses);
  }

  @Test
  void requestsNeverWaitForWhatIsReadAhead() {
    CachedDisk disk = new CachedDisk(SIZE, CachedDisk.budget(512, 4, 256), 8 << 20);
    for (int at = 0; at < 1 << 20; at += STEP) {
      disk.readNow(at, STEP);
    }
    disk.atOnce = false;
    disk.read(1 << 20, STEP);
    assertTrue(disk.held.size() > 0, "nothing is read ahead");
    disk.askedSince();
    RecordedRequest request = disk.read(48 << 20, 256 << 10);
    assertEquals(List.of("READ 49152K+256K"), disk.askedSince());
    disk.held.add(0, disk.held.removeLast());
    disk.endOne(null);
    disk.check(request);
  }

  @Test
  void whatIsReadAheadMayBeOvertakenUntilSomebodyWantsIt() {
    CachedDisk disk = disk(8 << 20);
    disk.readNow(0, STEP);
    disk.atOnce = false;
    disk.read(STEP, STEP);
    BlockRequest wanted = disk.held.getFirst();
    BlockRequest ahead = disk.held.getLast();
    assertFalse(wanted.background());
    assertTrue(ahead.background());
    disk.read(2 * STEP, 4096);
    assertFalse(ahead.background());
  }

  @Test
  void windowShrinksWhenNobodyComes() {
    CachedDisk disk = new CachedDisk(SIZE, CachedDisk.budget(512, 64, 16), 8 << 20);
    for (int stream = 0; stream < 24; stream++) {
      disk.readNow(stream * 2L * (1 << 20), STEP);
      disk.readNow(stream * 2L * (1 << 20) + STEP, STEP);
      for (int i = 0; i < 600; i++) {
        disk.readNow(63 << 20, 4096);
      }
    }
    assertTrue(disk.count(Count.AHEAD_WASTED) > 0, "memory is given up for new streams");
    assertTrue(disk.count(Count.AHEAD_ISSUED) >= 24, "and they get it");
  }

  @Test
  void longScanLeavesTheFullCacheAsItIs() {
    CachedDisk disk = new CachedDisk(SIZE, CachedDisk.budget(64, 16, 32), 1 << 20);
    for (int round = 0; round < 20; round++) {
      for (int i = 0; i < 64; i++) {
        // Every other block, so that this is no stream.
        disk.readNow((32 << 20) + (i * 37 % 64) * 2L * CachedDisk.BLOCK, 4096);
      }
    }
    long entries = disk.cache.blockCount();
    for (int at = 0; at < 32 << 20; at += STEP) {
      disk.readNow(at, STEP);
    }
    assertTrue(disk.count(Count.BYPASSED) > 300, () -> "" + disk.count(Count.BYPASSED));
    assertTrue(disk.cache.evictions() < 100, () -> "evictions: " + disk.cache.evictions());
    assertEquals(entries, disk.cache.blockCount());
    assertEquals(4, firstMisses(disk), "the scan was read ahead all the same");
  }

  private static long firstMisses(CachedDisk disk) {
    return disk.count(Count.MISSES) - 64;
  }

  @Test
  void smallStepsOfAScanFetchEachBlockOnce() {
    CachedDisk disk = new CachedDisk(SIZE, CachedDisk.budget(32, 8, 16), 0);
    for (int at = 0; at < 8 << 20; at += 4096) {
      disk.readNow(at, 4096);
    }
    assertEquals((8 << 20) / CachedDisk.BLOCK, disk.count(Count.FILLS));
  }

  @Test
  void offIsOff() {
    CachedDisk disk = disk(0);
    for (int at = 0; at < 4 << 20; at += STEP) {
      disk.readNow(at, STEP);
    }
    assertEquals(0, disk.count(Count.AHEAD_ISSUED));
  }
}
