package io.ublkbridge.cache;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.netty.channel.IoEventLoop;
import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.RingFile;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.UringLoops;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The disk tier on this host's file system, by this host's io_uring.
final class DiskTierTest {
  private static final int BLOCK = 65536;

  @AutoClose private final UringLoops loops = new UringLoops(2);
  @AutoClose private final FramePool frames = new FramePool(64, BLOCK);
  private final IoEventLoop loop = loops.next();
  private final TierContents contents = new TierContents(5, 50, BLOCK);
  private final List<BlockTier.Lane> lanes = new ArrayList<>();
  private final List<DiskTier> tiers = new ArrayList<>();

  @TempDir private Path path = Path.of("");

  @AfterEach
  void close() {
    lanes.forEach(BlockTier.Lane::close);
    lanes.clear();
    tiers.forEach(DiskTier::close);
    tiers.clear();
    assertEquals(frames.count(), frames.freeCount());
  }

  @Test
  void aRestartFindsEveryBlock() throws Exception {
    DiskTier tier = open(contents.identity());
    BlockTier.Lane lane = lane(tier);
    for (int block = 0; block < 50; block++) {
      assertFalse(read(lane, block));
      offer(lane, block);
      written(tier, block + 1);
      assertTrue(read(lane, block), "block " + block);
    }
    close();

    tier = open(contents.identity());
    assertEquals(50L * BLOCK, tier.details().get("cachedBytes"));
    lane = lane(tier);
    for (int block = 0; block < 50; block++) {
      assertTrue(read(lane, block), "block " + block);
    }
    assertEquals(50L, tier.details().get("hits"));
    assertEquals(0L, tier.details().get("misses"));
  }

  @Test
  void otherContentsAreNeverFound() throws Exception {
    DiskTier tier = open(contents.identity());
    offer(lane(tier), 1);
    written(tier, 1);
    close();
    TierIdentity other = new TierIdentity("another", contents.identity().sizeBytes(), BLOCK);
    Path file = Path.of(file(tier));

    // Even where somebody gives a file the other's name.
    Files.copy(file, path.resolve(other.fileStem() + "-0.tier"));

    tier = open(other);
    assertEquals(0L, tier.details().get("cachedBytes"));
    assertFalse(read(lane(tier), 1));
  }

  @Test
  void aDamagedBlockIsDroppedAndCounted() throws Exception {
    DiskTier tier = open(contents.identity());
    BlockTier.Lane lane = lane(tier);
    offer(lane, 7);
    written(tier, 1);
    try (RandomAccessFile file = new RandomAccessFile(file(tier), "rw")) {
      file.seek(new TierLayout(BLOCK).slotPosition(0) + 40_000);
      int before = file.read();
      file.seek(file.getFilePointer() - 1);
      file.write(before ^ 1);
    }

    assertFalse(read(lane, 7));
    assertEquals(1L, tier.details().get("corrupt"));
    assertEquals(0L, tier.details().get("cachedBytes"));
    offer(lane, 7);
    written(tier, 2);
    assertTrue(read(lane, 7));
  }

  @Test
  void aSlowDiskGetsSoMuchAtOnceAndNoMore() throws Exception {
    DiskTier tier = open(contents.identity());
    SimulatedTierDisk disk = new SimulatedTierDisk(new SplittableRandom(1));
    disk.load(Files.readAllBytes(Path.of(file(tier))));
    BlockTier.Lane lane = tier.openLane(disk::lane);
    BlockTier.Lane second = tier.openLane(disk::lane);
    BlockTier.Lane third = tier.openLane(disk::lane);
    for (int block = 0; block < 30; block++) {
      offerHere(lane, block);
    }
    assertEquals(DiskLane.WRITES_MAX, disk.underWayCount());
    for (int block = 30; block < 50; block++) {
      offerHere(second, block);
      offerHere(third, block);
    }

    assertEquals(tier.keptBlocksMax(), disk.underWayCount());
    assertEquals(frames.count() - tier.keptBlocksMax(), frames.freeCount());
    disk.drain();
    assertEquals(frames.count(), frames.freeCount());
    assertEquals((long) tier.keptBlocksMax(), tier.details().get("writes"));
    lane.close();
    second.close();
    third.close();
  }

  @Test
  void aSlotThatIsReadIsNotGivenAway() throws Exception {
    TierLayout layout = new TierLayout(BLOCK);
    DiskTier tier = open(contents.identity(), layout.fileBytes(1));
    SimulatedTierDisk disk = new SimulatedTierDisk(new SplittableRandom(1));
    disk.load(Files.readAllBytes(Path.of(file(tier))));
    BlockTier.Lane lane = tier.openLane(disk::lane);
    offerHere(lane, 1);
    disk.drain();
    BlockBuffer frame = requireNonNull(frames.take());
    CompletableFuture<Boolean> answer = new CompletableFuture<>();
    lane.read(1, frame.memory(), answer(answer));

    offerHere(lane, 2);

    disk.drain();
    assertTrue(answer.get());
    assertArrayEquals(contents.bytes(1), frame.memory().toArray(JAVA_BYTE));
    assertEquals(1L, tier.details().get("dropped"));
    frame.release();
    lane.close();
  }

  @Test
  void growsAheadOfItsUseAndAsFarAsItMay() throws Exception {
    TierLayout layout = new TierLayout(BLOCK);
    DiskTier tier =
        DiskTier.open(
            new TierDirectory(path, layout.fileBytes(20)),
            contents.identity(),
            new DiskTier.Means(Runnable::run, 32, 8 * BLOCK));
    tiers.add(tier);
    BlockTier.Lane lane = lane(tier);
    assertEquals(8L * BLOCK, tier.details().get("size"));
    for (int block = 0; block < 20; block++) {
      offer(lane, block);
      written(tier, block + 1);
    }

    assertEquals(20L * BLOCK, tier.details().get("size"));
    assertEquals(20L * BLOCK, tier.details().get("cachedBytes"));
    assertEquals(layout.fileBytes(20), Files.size(Path.of(file(tier))));
    offer(lane, 20);
    written(tier, 21);
    assertEquals(20L * BLOCK, tier.details().get("cachedBytes"));
  }

  @Test
  void twoLoopsShareOneTier() throws Exception {
    TierLayout layout = new TierLayout(BLOCK);
    DiskTier tier = open(contents.identity(), layout.fileBytes(20));
    IoEventLoop other = loops.next();
    BlockTier.Lane one = lane(tier);
    BlockTier.Lane two = tier.openLane(new QueueContext(1, 2, 16, 1 << 20, other));
    lanes.add(two);
    List<CompletableFuture<Boolean>> answers = new ArrayList<>();
    SplittableRandom random = new SplittableRandom(3);
    for (int i = 0; i < 3000; i++) {
      boolean first = random.nextBoolean();
      BlockTier.Lane lane = first ? one : two;
      IoEventLoop on = first ? loop : other;
      int block = random.nextInt(49);
      BlockBuffer frame = frames.take();
      if (frame == null) {
        answers.removeLast().get(10, TimeUnit.SECONDS);
        continue;
      }
      if (random.nextBoolean()) {
        contents.fill(block, frame.memory());
        frame.filledWith(block);
        on.execute(() -> {
          lane.offer(block, frame, BLOCK);
          frame.release();
        });
      } else {
        CompletableFuture<Boolean> answer = new CompletableFuture<>();
        answers.add(answer);
        on.execute(() -> lane.read(block, frame.memory(), checked(block, frame, answer)));
      }
    }
    for (CompletableFuture<Boolean> answer : answers) {
      answer.get(10, TimeUnit.SECONDS);
    }
    assertEquals(0L, tier.details().get("corrupt"));
    assertEquals("on", tier.details().get("state"));
    assertTrue(count(tier, "hits") > 0);
  }

  @Test
  void headersThatNoLaneGotToAreWrittenAtTheEnd() throws Exception {
    DiskTier tier = open(contents.identity());
    SimulatedTierDisk disk = new SimulatedTierDisk(new SplittableRandom(1));
    disk.load(Files.readAllBytes(Path.of(file(tier))));
    BlockTier.Lane lane =
        tier.openLane(completions -> new RingThatEnds(disk.lane(completions), completions));
    offerHere(lane, 1);
    offerHere(lane, 2);
    disk.drain();
    assertEquals(2L, tier.details().get("writes"));
    lane.close();
    close();

    assertEquals(2L * BLOCK, open(contents.identity()).details().get("cachedBytes"));
  }

  /// A ring that takes no more once the blocks are written.
  private record RingThatEnds(TierIo disk, RingFile.Completions lane) implements TierIo {
    @Override
    public void read(int tag, long positionBytes, long address, int lengthBytes) {
      lane.completed(tag, -Errno.ECANCELED);
    }

    @Override
    public void write(int tag, long positionBytes, long address, int lengthBytes) {
      if (lengthBytes == BLOCK) {
        disk.write(tag, positionBytes, address, lengthBytes);
      } else {
        lane.completed(tag, -Errno.ECANCELED);
      }
    }

    @Override
    public boolean close() {
      return disk.close();
    }
  }

  private BlockTier.Answer checked(
      int block, BlockBuffer frame, CompletableFuture<Boolean> answer) {
    return new BlockTier.Answer() {
      @Override
      public void hit() {
        boolean right = MemorySegment.ofArray(contents.bytes(block)).mismatch(frame.memory()) == -1;
        frame.release();
        if (right) {
          answer.complete(true);
        } else {
          answer.completeExceptionally(new AssertionError("wrong bytes of block " + block));
        }
      }

      @Override
      public void miss() {
        frame.release();
        answer.complete(false);
      }
    };
  }

  private static BlockTier.Answer answer(CompletableFuture<Boolean> answer) {
    return new BlockTier.Answer() {
      @Override
      public void hit() {
        answer.complete(true);
      }

      @Override
      public void miss() {
        answer.complete(false);
      }
    };
  }

  private DiskTier open(TierIdentity identity) throws IOException {
    return open(identity, 64 << 20);
  }

  private DiskTier open(TierIdentity identity, long bytesMax) throws IOException {
    DiskTier tier =
        DiskTier.open(
            new TierDirectory(path, bytesMax),
            identity,
            new DiskTier.Means(Runnable::run, 32, DiskTier.GROWTH_BYTES));
    tiers.add(tier);
    return tier;
  }

  private BlockTier.Lane lane(DiskTier tier) {
    BlockTier.Lane lane = tier.openLane(new QueueContext(0, 1, 16, 1 << 20, loop));
    lanes.add(lane);
    return lane;
  }

  private boolean read(BlockTier.Lane lane, int block) throws Exception {
    BlockBuffer frame = requireNonNull(frames.take());
    frame.memory().fill((byte) 0x55);
    CompletableFuture<Boolean> answer = new CompletableFuture<>();
    MemorySegment into = frame.memory().asSlice(0, contents.lengthBytes(block));
    loop.execute(() -> lane.read(block, into, answer(answer)));
    boolean hit = answer.get(10, TimeUnit.SECONDS);
    if (hit) {
      assertArrayEquals(contents.bytes(block), into.toArray(JAVA_BYTE));
    }
    frame.release();
    return hit;
  }

  private void offer(BlockTier.Lane lane, int block) {
    UringLoops.run(
        loop,
        () -> {
          offerHere(lane, block);
          return "";
        });
  }

  private void offerHere(BlockTier.Lane lane, int block) {
    BlockBuffer frame = requireNonNull(frames.take());
    contents.fill(block, frame.memory());
    frame.filledWith(block);
    lane.offer(block, frame, contents.lengthBytes(block));
    frame.release();
  }

  /// Waits until so many blocks are in the file.
  private void written(DiskTier tier, long count) {
    for (int i = 0; i < 1000 && count(tier, "writes") < count; i++) {
      UringLoops.run(loop, () -> "");
      LockSupport.parkNanos(1_000_000);
    }
    assertEquals(count, tier.details().get("writes"));
  }

  private static long count(DiskTier tier, String name) {
    return (long) requireNonNull(tier.details().get(name));
  }

  private static String file(DiskTier tier) {
    return String.valueOf(tier.details().get("file"));
  }
}
