package io.ublkbridge.cache;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.cache.CacheCounters.Count;
import io.ublkbridge.cache.TouchList.Range;
import io.ublkbridge.target.Operation;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/// Several queues with one cache against a disk that remembers, over many seeds: no READ sees what
/// was overwritten before it began, none completes without all of its bytes, every request ends
/// exactly once, no more is on its way than allowed, and every frame comes back.
///
/// Each failure names its seed; replay it with `-Dublk.seed=N`. `-Dublk.seeds=N` tries more. (The
/// cache's policy throws dice of its own about one entry in a hundred.)
final class CacheModelTest {
  private static final int SEEDS = Integer.getInteger("ublk.seeds", 100);
  private static final List<Operation> OPERATIONS = List.of(Operation.values());
  private static final int STEPS = 1500;
  private static final int BLOCK = 8 * ModelDisk.SECTOR;
  private static final int SECTORS = 61 * 8 + 3;

  /// What a run is like.
  private record Kind(boolean modifies, boolean tier, double failureRate) {}

  /// One run: everything in it comes from the seed.
  private static final class Run {
    final SplittableRandom random;
    final Kind kind;
    final ModelDisk disk;
    final @Nullable ModelTier tier;
    final BlockCache cache;
    final List<CachedQueue> queues = new ArrayList<>();
    final List<ModelRequest> requests = new ArrayList<>();
    final List<Runnable> loopTasks = new ArrayList<>();
    final int[] cursors = new int[4];
    boolean closing;

    Run(long seed, Kind kind) {
      this.kind = kind;
      random = new SplittableRandom(seed);
      disk =
          new ModelDisk(random.split(), SECTORS, !kind.modifies())
              .failureRate(kind.failureRate())
              .atOnceRate(random.nextInt(3) == 0 ? random.nextDouble() : 0);
      tier = kind.tier() ? new ModelTier(random.split()) : null;
      int queueCount = 1 + random.nextInt(3);
      CacheBudget budget =
          new CacheBudget(
              BLOCK,
              1 + random.nextInt(random.nextBoolean() ? 4 : 40),
              queueCount + random.nextInt(8),
              1 + random.nextInt(12),
              kind.tier() ? ModelTier.KEPT_MAX : 0);
      cache = new BlockCache(budget);
      BlockMap map = new BlockMap((long) SECTORS * ModelDisk.SECTOR, BLOCK);
      int readBytesMax =
          (budget.fillBlocksOf(queueCount) + budget.aheadBlocksOf(queueCount)) * BLOCK;
      TouchList warmUp = warmUp(map.sizeBytes());
      for (int i = 0; i < queueCount; i++) {
        ModelDisk.Lane lane = disk.new Lane(readBytesMax);
        queues.add(
            new CachedQueue(
                new Fills.Lane(
                    cache,
                    map,
                    new CacheCounters(),
                    lane,
                    tier == null ? null : tier.lane(),
                    1 + random.nextInt(6)),
                queueCount,
                this::onLoop,
                new CachedQueue.Extras(
                    random.nextInt(4) == 0 ? 0 : BLOCK * (1 + random.nextInt(16)),
                    null,
                    i == 0 ? warmUp : null)));
      }
      queues.getFirst().start();
    }

    private @Nullable TouchList warmUp(long sizeBytes) {
      if (random.nextInt(3) > 0) {
        return null;
      }
      List<Range> ranges = new ArrayList<>();
      for (int i = 0; i < 6; i++) {
        long offset = random.nextLong(sizeBytes);
        ranges.add(new Range(offset, 1 + random.nextLong(sizeBytes - offset)));
      }
      return new TouchList("model", sizeBytes, ranges);
    }

    private void onLoop(Runnable task) {
      if (closing) {
        task.run();
      } else {
        loopTasks.add(task);
      }
    }

    void step() {
      switch (random.nextInt(10)) {
        case 0, 1, 2 -> issue();
        case 3 -> {
          if (tier != null) {
            tier.step();
          }
        }
        case 4 -> {
          if (!loopTasks.isEmpty()) {
            loopTasks.removeFirst().run();
          }
        }
        default -> disk.step();
      }
    }

    private void issue() {
      Operation operation =
          !kind.modifies() || random.nextInt(3) > 0
              ? Operation.READ
              : OPERATIONS.get(random.nextInt(OPERATIONS.size()));
      int first = random.nextInt(SECTORS);
      int count = 1 + random.nextInt(random.nextBoolean() ? 8 : 40);
      int cursor = random.nextInt(2 * cursors.length);
      if (operation == Operation.READ && cursor < cursors.length) {
        // Some read on where they were.
        first = cursors[cursor];
        cursors[cursor] = first + count < SECTORS ? first + count : random.nextInt(SECTORS);
      }
      boolean ranged = operation != Operation.FLUSH;
      ModelRequest request =
          new ModelRequest(
              disk, operation, ranged ? first : 0, ranged ? Math.min(count, SECTORS - first) : 0);
      if (operation.modifies() && random.nextBoolean()) {
        request.afterEnd(() -> submit(readBack(request)));
      }
      submit(request);
    }

    private ModelRequest readBack(ModelRequest written) {
      int first = (int) (written.offsetBytes() / ModelDisk.SECTOR);
      int count = (int) (written.lengthBytes() / ModelDisk.SECTOR);
      return new ModelRequest(disk, Operation.READ, first, count);
    }

    private void submit(ModelRequest request) {
      requests.add(request);
      queues.get(random.nextInt(queues.size())).submit(request);
    }

    void runAndDrain() {
      for (int i = 0; i < STEPS; i++) {
        step();
      }
      for (int i = 0; !drained() && i < 100_000; i++) {
        disk.step();
        if (tier != null) {
          tier.step();
        }
        if (!loopTasks.isEmpty()) {
          loopTasks.removeFirst().run();
        }
      }
      for (ModelRequest request : List.copyOf(requests)) {
        assertTrue(request.ended(), () -> request + " never ended");
      }
      assertTrue(drained(), "something is still on its way");
      finish();
    }

    private boolean drained() {
      return disk.idle() && loopTasks.isEmpty() && (tier == null || tier.idle());
    }

    private void finish() {
      if (disk.failures() == 0) {
        for (ModelRequest request : requests) {
          assertNull(request.error(), () -> request + " failed although nothing did");
        }
      }
      assertEquals(0, sum(Count.DIRECT_READS), "no frame was free");
      closing = true;
      queues.forEach(CachedQueue::close);
      assertEquals(
          cache.budget().totalBlocks() - cache.blockCount(),
          cache.freeFrames(),
          "frames are missing");
      cache.close();
      assertEquals(cache.budget().totalBlocks(), cache.freeFrames(), "frames are missing");
    }

    long sum(Count count) {
      return CacheCounters.sum(queues.stream().map(CachedQueue::counters).toList(), count);
    }
  }

  @Test
  void readsSeeNothingOlderThanWhatWasWritten() {
    forEachSeed(seed -> new Run(seed, new Kind(true, false, 0)).runAndDrain());
  }

  @Test
  void failuresReachThoseWhoWaitAndNobodyElse() {
    forEachSeed(seed -> new Run(seed, new Kind(true, false, 0.2)).runAndDrain());
  }

  @Test
  void readOnlyDiskIsReadOnceAtATime() {
    forEachSeed(seed -> new Run(seed, new Kind(false, false, 0)).runAndDrain());
  }

  @Test
  void tierLosesBlocksButGivesNoWrongOnes() {
    forEachSeed(seed -> new Run(seed, new Kind(false, true, 0.1)).runAndDrain());
  }

  /// A model that never gets into the corners it is for would prove nothing.
  @Test
  void runsGetIntoTheCorners() {
    long[] counts = new long[Count.values().length];
    int tierHits = 0;
    for (long seed = 0; seed < 40; seed++) {
      boolean tier = seed % 2 == 0;
      Run run = new Run(seed, new Kind(!tier, tier, 0.1));
      run.runAndDrain();
      int i = 0;
      for (Count count : Count.values()) {
        counts[i++] += run.sum(count);
      }
      tierHits += run.tier == null ? 0 : run.tier.hits();
    }
    int i = 0;
    for (Count count : Count.values()) {
      long reached = counts[i++];
      assertTrue(count == Count.DIRECT_READS || reached > 0, () -> "never any " + count);
    }
    assertTrue(tierHits > 0);
  }

  private interface Scenario {
    void run(long seed);
  }

  private static void forEachSeed(Scenario scenario) {
    Long only = Long.getLong("ublk.seed");
    if (only != null) {
      atSeed(only, scenario);
      return;
    }
    for (long seed = 0; seed < SEEDS; seed++) {
      atSeed(seed, scenario);
    }
  }

  private static void atSeed(long seed, Scenario scenario) {
    try {
      scenario.run(seed);
    } catch (RuntimeException | Error e) {
      throw new AssertionError("seed " + seed + ": replay with -Dublk.seed=" + seed, e);
    }
  }
}
