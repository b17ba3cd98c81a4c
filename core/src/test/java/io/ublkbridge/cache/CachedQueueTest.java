package io.ublkbridge.cache;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.cache.CacheCounters.Count;
import io.ublkbridge.cache.TouchList.Range;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.RecordedRequest;
import java.util.List;
import org.junit.jupiter.api.Test;

/// On a disk of 4 MiB and 5 KiB in blocks of 64 KiB, of which the target gives four at once.
final class CachedQueueTest {
  private static final int SIZE = (4 << 20) + (5 << 10);

  private final CachedDisk disk = new CachedDisk(SIZE, CachedDisk.budget(40, 8, 8), 0);

  @Test
  void secondReadIsLocal() {
    disk.readNow(4096, 4096);
    assertEquals(List.of("READ 0K+64K"), disk.askedSince());
    disk.readNow(0, 64 << 10);
    disk.readNow(8192, 512);
    assertEquals(List.of(), disk.askedSince());
    assertEquals(2, disk.count(Count.HITS));
    assertEquals(1, disk.count(Count.MISSES));
  }

  @Test
  void neighboursAreFetchedTogetherUpToTheTargetsMost() {
    disk.readNow(1000 * 512, 400 << 10);
    assertEquals(List.of("READ 448K+256K", "READ 704K+256K"), disk.askedSince());
  }

  @Test
  void whatIsHereIsNotFetchedAgainInTheMiddle() {
    disk.readNow(128 << 10, 512);
    disk.askedSince();
    disk.readNow(0, 320 << 10);
    assertEquals(List.of("READ 0K+128K", "READ 192K+128K"), disk.askedSince());
  }

  @Test
  void lastBlockIsAsShortAsTheDisk() {
    disk.readNow(SIZE - 512, 512);
    assertEquals(List.of("READ 4096K+5K"), disk.askedSince());
    disk.readNow(SIZE - 4096, 4096);
    assertEquals(List.of(), disk.askedSince());
  }

  @Test
  void manyRequestsForABlockAreOneFill() {
    disk.atOnce = false;
    RecordedRequest first = disk.read(0, 4096);
    RecordedRequest second = disk.read(60 << 10, 8192);
    assertEquals(List.of("READ 0K+64K", "READ 64K+64K"), disk.askedSince());
    disk.endOne(null);
    disk.check(first);
    assertFalse(second.ended(), "half of it is missing");
    disk.endOne(null);
    disk.check(second);
  }

  @Test
  void failedFillFailsWhoWaitsForItAndLeavesNothing() {
    disk.atOnce = false;
    RecordedRequest alone = disk.read(0, 64 << 10);
    RecordedRequest other = disk.read(1 << 20, 4096);
    disk.endOne(IoError.UNREACHABLE);
    assertEquals(IoError.UNREACHABLE, alone.await());
    assertFalse(other.ended());
    disk.endOne(null);
    disk.check(other);
    disk.askedSince();
    disk.atOnce = true;
    disk.readNow(0, 4096);
    assertEquals(List.of("READ 0K+64K"), disk.askedSince());
  }

  @Test
  void neighbourThatCannotBeReadFailsNobodyElse() {
    disk.atOnce = false;
    RecordedRequest small = disk.read(4096, 4096);
    disk.askedSince();
    disk.endOne(IoError.IO);
    assertEquals(List.of("READ 4K+4K"), disk.askedSince(), "asked again for just what it wants");
    disk.endOne(null);
    disk.check(small);
  }

  @Test
  void whatCannotBeReadAloneFails() {
    disk.atOnce = false;
    RecordedRequest small = disk.read(4096, 4096);
    RecordedRequest whole = disk.read(0, 64 << 10);
    disk.endOne(IoError.IO);
    assertEquals(IoError.IO, whole.await(), "the target was asked for nothing else");
    disk.endOne(IoError.IO);
    assertEquals(IoError.IO, small.await());
  }

  @Test
  void unreachableTargetIsNotAskedAgain() {
    disk.atOnce = false;
    RecordedRequest small = disk.read(4096, 4096);
    disk.endOne(IoError.UNREACHABLE);
    assertEquals(IoError.UNREACHABLE, small.await());
  }

  @Test
  void targetThatSuppliesTooLittleIsNotBelieved() {
    disk.suppliedTooLittle = 1;
    RecordedRequest request = disk.read(0, 64 << 10);
    assertEquals(IoError.IO, request.await());
    disk.suppliedTooLittle = 0;
    disk.readNow(0, 64 << 10);
    assertEquals(1, disk.count(Count.FAILED_FILLS));
  }

  @Test
  void readsWaitForTheirTurnWhenEnoughIsUnderWay() {
    CachedDisk small = new CachedDisk(SIZE, CachedDisk.budget(40, 2, 1), 0);
    small.atOnce = false;
    RecordedRequest first = small.read(0, 256 << 10);
    RecordedRequest second = small.read(1 << 20, 4096);
    RecordedRequest third = small.read(2 << 20, 4096);
    assertEquals(List.of("READ 0K+128K"), small.askedSince());
    small.endOne(null);
    assertEquals(List.of("READ 128K+128K"), small.askedSince(), "the first goes on first");
    small.endOne(null);
    small.check(first);
    assertEquals(List.of("READ 1024K+64K", "READ 2048K+64K"), small.askedSince());
    small.endAll();
    small.check(second);
    small.check(third);
  }

  @Test
  void hitsPassThoseWhoWait() {
    CachedDisk small = new CachedDisk(SIZE, CachedDisk.budget(40, 1, 1), 0);
    small.readNow(3 << 20, 4096);
    small.atOnce = false;
    RecordedRequest first = small.read(0, 256 << 10);
    RecordedRequest hit = small.read(3 << 20, 8192);
    small.check(hit);
    assertFalse(first.ended());
    small.endAll();
    small.check(first);
  }

  @Test
  void withoutAnyFrameTheTargetIsAskedForTheRequestItself() {
    CachedDisk full = new CachedDisk(SIZE, CachedDisk.budget(2, 1, 1), 0);
    for (int i = 0; i < 4; i++) {
      full.cache.takeFrame();
    }
    full.readNow(4096, 8192);
    assertEquals(List.of("READ 4K+8K"), full.askedSince());
    assertEquals(1, full.count(Count.DIRECT_READS));
  }

  @Test
  void writesReachTheTargetAsTheyAreAndTheirBlocksLeave() {
    disk.readNow(0, 192 << 10);
    disk.askedSince();
    RecordedRequest write = RecordedRequest.write(70 << 10, new byte[4096], true);
    disk.queue.submit(write);
    assertNull(write.await());
    assertEquals(List.of("WRITE 70K+4K FUA"), disk.askedSince());
    disk.readNow(0, 192 << 10);
    assertEquals(List.of("READ 64K+64K"), disk.askedSince());
  }

  @Test
  void discardOfMoreThanTheCacheHoldsEmptiesTheRange() {
    disk.readNow(0, 4096);
    disk.readNow(4 << 20, 4096);
    RecordedRequest discard = RecordedRequest.discard(0, 4 << 20);
    disk.queue.submit(discard);
    assertNull(discard.await());
    disk.askedSince();
    disk.readNow(0, 4096);
    disk.readNow(4 << 20, 4096);
    assertEquals(List.of("READ 0K+64K"), disk.askedSince());
  }

  @Test
  void flushPassesAsItIs() {
    RecordedRequest flush = RecordedRequest.flush();
    disk.queue.submit(flush);
    assertNull(flush.await());
    assertEquals(List.of("FLUSH"), disk.askedSince());
  }

  @Test
  void listOfAnotherRunIsFetchedWhileNobodyWaits() {
    TouchList list =
        new TouchList("x", SIZE, List.of(new Range(0, 4096), new Range(1 << 20, 512 << 10)));
    CachedDisk warm =
        new CachedDisk(SIZE, CachedDisk.budget(40, 8, 8), new CachedQueue.Extras(0, null, list));
    warm.atOnce = false;
    warm.queue.start();
    assertEquals(
        List.of("READ 0K+64K", "READ 1024K+256K"), warm.askedSince(), "half of what may be ahead");
    warm.endAll();
    assertEquals(List.of("READ 1280K+256K"), warm.askedSince());
    assertEquals(9, warm.count(Count.WARMED));
    warm.readNow(1 << 20, 512 << 10);
    assertEquals(8, warm.count(Count.HITS));
  }

  @Test
  void touchesAreNotedInTheirOrder() {
    FirstTouches touches = new FirstTouches(new BlockMap(SIZE, CachedDisk.BLOCK));
    CachedDisk noted =
        new CachedDisk(SIZE, CachedDisk.budget(40, 8, 8), new CachedQueue.Extras(0, touches, null));
    noted.readNow(SIZE - 512, 512);
    noted.readNow(0, 4096);
    noted.readNow(64 << 10, 4096);
    noted.readNow(0, 128 << 10);
    assertEquals(List.of(new Range(4 << 20, 5 << 10), new Range(0, 128 << 10)), touches.ranges());
    assertTrue(new FirstTouches(new BlockMap(1L << 60, 4096)).ranges().isEmpty());
  }
}
