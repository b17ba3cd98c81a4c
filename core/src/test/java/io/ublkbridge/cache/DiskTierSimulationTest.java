package io.ublkbridge.cache;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import io.ublkbridge.kernel.Errno;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.AnnotatedElementContext;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.io.TempDirFactory;

/// The disk tier on a simulated disk, over many seeds: whatever happens to the file, no wrong byte
/// is ever a hit, every read is answered once, and every frame comes back.
///
/// Each failure names its seed; replay it with `-Dublk.seed=N`.
final class DiskTierSimulationTest {
  private static final int SEEDS = 60;
  private static final int STEPS = 400;
  private static final int FRAMES = 24;

  @TempDir(factory = InMemory.class)
  private Path directory = Path.of("");

  /// The simulated disk is slow enough: what it works on is in memory where that can be had.
  static final class InMemory implements TempDirFactory {
    @Override
    public Path createTempDirectory(
        AnnotatedElementContext elementContext, ExtensionContext extensionContext)
        throws IOException {
      Path memory = Path.of("/dev/shm");
      return Files.isWritable(memory)
          ? Files.createTempDirectory(memory, "disk-tier")
          : Files.createTempDirectory("disk-tier");
    }
  }

  /// One use of the tier after another, of the same contents and the same file.
  private final class Run implements AutoCloseable {
    final SplittableRandom random;
    final TierContents contents;
    final SimulatedTierDisk disk;
    final long bytesMax;
    FramePool frames;
    final List<Read> reads = new ArrayList<>();
    final List<String> wrong = new ArrayList<>();
    final List<BlockTier.Lane> lanes = new ArrayList<>();
    DiskTier tier;
    Path file;
    int hitCount;

    Run(SplittableRandom random) throws IOException {
      this.random = random;
      int blockBytes = 4096 << random.nextInt(3);
      contents = new TierContents(random.nextLong(), 1 + random.nextInt(40), blockBytes);
      TierLayout layout = new TierLayout(blockBytes);
      bytesMax = layout.fileBytes(1 + random.nextInt(24)) + random.nextInt(blockBytes);
      disk = new SimulatedTierDisk(random.split());
      frames = new FramePool(FRAMES, blockBytes);
      file = Files.createDirectories(directory.resolve("run")).resolve("none");
      open();
    }

    void open() throws IOException {
      tier =
          DiskTier.open(
              new TierDirectory(directory.resolve("run"), bytesMax),
              contents.identity(),
              new DiskTier.Means(this::grow, 8, 1 << 15));
      file = Path.of(String.valueOf(tier.details().get("file")));
      disk.load(Files.readAllBytes(file));
      lanes.clear();
      for (int i = 1 + random.nextInt(2); i > 0; i--) {
        lanes.add(tier.openLane(disk::lane));
      }
    }

    private void grow(Runnable task) {
      task.run();
      try {
        disk.extend((int) Files.size(file));
      } catch (IOException e) {
        throw new AssertionError(e);
      }
    }

    /// All that is left is what the file holds.
    void crash(byte[] left) throws IOException {
      assertEquals(List.of(), wrong);
      reads.clear();
      lanes.forEach(BlockTier.Lane::close);
      tier.close();
      frames.close();
      frames = new FramePool(FRAMES, contents.blockBytes());
      Files.write(file, left);
      open();
    }

    void step() {
      switch (random.nextInt(4)) {
        case 0 -> offer(random.nextInt(contents.blockCount()));
        case 1 -> read(random.nextInt(contents.blockCount()));
        default -> disk.step();
      }
    }

    void offer(long block) {
      BlockBuffer frame = frames.take();
      if (frame != null) {
        frame.filledWith(block);
        contents.fill(block, frame.memory());
        lane().offer(block, frame, contents.lengthBytes(block));
        frame.release();
      }
    }

    void read(long block) {
      BlockBuffer frame = frames.take();
      if (frame != null) {
        Read read = new Read(this, block, frame);
        reads.add(read);
        lane().read(block, frame.memory().asSlice(0, contents.lengthBytes(block)), read);
      }
    }

    BlockTier.Lane lane() {
      return lanes.get(random.nextInt(lanes.size()));
    }

    long count(String name) {
      return (long) requireNonNull(tier.details().get(name));
    }

    void drain() {
      disk.drain();
      assertEquals(List.of(), wrong);
      assertEquals(List.of(), reads, "every read is answered");
      assertEquals(frames.count(), frames.freeCount(), "every frame comes back");
    }

    void closeTier() {
      lanes.forEach(BlockTier.Lane::close);
      // The disk's bytes are the file's, but for what closing writes itself.
      try {
        Files.write(file, disk.bytes());
      } catch (IOException e) {
        throw new AssertionError(e);
      }
      tier.close();
    }

    @Override
    public void close() throws IOException {
      drain();
      closeTier();
      frames.close();
      Files.delete(file);
    }
  }

  private record Read(Run run, long block, BlockBuffer frame) implements BlockTier.Answer {
    @Override
    public void hit() {
      run.hitCount++;
      byte[] given = frame.memory().asSlice(0, run.contents.lengthBytes(block)).toArray(JAVA_BYTE);
      if (!Arrays.equals(run.contents.bytes(block), given)) {
        run.wrong.add("block " + block);
      }
      end();
    }

    @Override
    public void miss() {
      end();
    }

    private void end() {
      if (!run.reads.remove(this)) {
        run.wrong.add("a second answer for block " + block);
      }
      frame.release();
    }
  }

  @Test
  void nothingIsLostWithoutAFault() throws IOException {
    forEachSeed(random -> {
      try (Run run = new Run(random)) {
        run.disk.interruptionRate(random.nextDouble() * 0.05);
        for (int i = 0; i < STEPS; i++) {
          run.step();
        }
        run.drain();
        assertEquals(0, run.count("corrupt"));
        assertEquals("on", run.tier.details().get("state"));
        long bytes = run.count("cachedBytes");
        run.closeTier();

        run.open();
        assertEquals(bytes, run.count("cachedBytes"), "a restart finds every block");
        run.hitCount = 0;
        for (int block = 0; block < run.contents.blockCount(); block++) {
          run.read(block);
          run.disk.drain();
        }
        assertEquals(bytes, (long) run.hitCount * run.contents.blockBytes());
      }
    });
  }

  @Test
  void noWrongByteIsServedAfterACrash() throws IOException {
    forEachSeed(random -> {
      try (Run run = new Run(random)) {
        run.disk.interruptionRate(random.nextDouble() * 0.05);
        for (int life = 0; life < 4; life++) {
          for (int i = random.nextInt(STEPS); i > 0; i--) {
            run.step();
          }
          run.crash(random.nextInt(4) == 0 ? run.disk.kill() : run.disk.crash());
        }
        for (int i = 0; i < STEPS; i++) {
          run.step();
        }
      }
    });
  }

  @Test
  void noFlippedBitIsServed() throws IOException {
    forEachSeed(random -> {
      try (Run run = new Run(random)) {
        for (int i = 0; i < STEPS; i++) {
          run.step();
          if (random.nextInt(10) == 0) {
            byte[] bytes = run.disk.bytes();
            bytes[random.nextInt(bytes.length)] ^= (byte) (1 << random.nextInt(8));
          }
        }
        run.crash(run.disk.kill());
        for (int i = 0; i < STEPS; i++) {
          run.step();
        }
      }
    });
  }

  @Test
  void theFirstErrorEndsItsUseAndNothingElse() throws IOException {
    forEachSeed(random -> {
      try (Run run = new Run(random)) {
        int[] errors = {Errno.EIO, Errno.ENOSPC, Errno.EROFS};
        for (int i = 0; i < STEPS; i++) {
          run.step();
        }
        run.disk.errorRate(0.2, errors[random.nextInt(errors.length)]);
        for (int i = 0; i < STEPS; i++) {
          run.step();
        }
        run.drain();
        assertFalse("on".equals(run.tier.details().get("state")));
        run.hitCount = 0;
        long writes = run.count("writes");
        for (int i = 0; i < STEPS; i++) {
          run.step();
        }
        run.drain();
        assertEquals(0, run.hitCount);
        assertEquals(writes, run.count("writes"));
      }
    });
  }

  @Test
  void simulationNoticesWrongBytes() throws IOException {
    try (Run run = new Run(new SplittableRandom(1))) {
      BlockBuffer frame = requireNonNull(run.frames.take());
      run.contents.fill(0, frame.memory());
      frame.memory().set(JAVA_BYTE, 7, (byte) (frame.memory().get(JAVA_BYTE, 7) + 1));
      run.lane().offer(0, frame, run.contents.lengthBytes(0));
      frame.release();
      run.disk.drain();
      run.read(0);
      run.disk.drain();
      assertEquals(List.of("block 0"), run.wrong);
      run.wrong.clear();
    }
  }

  private interface Scenario {
    void run(SplittableRandom random) throws IOException;
  }

  private static void forEachSeed(Scenario scenario) throws IOException {
    Long only = Long.getLong("ublk.seed");
    if (only != null) {
      atSeed(only, scenario);
      return;
    }
    for (long seed = 0; seed < Long.getLong("ublk.seeds", SEEDS); seed++) {
      atSeed(seed, scenario);
    }
  }

  private static void atSeed(long seed, Scenario scenario) throws IOException {
    try {
      scenario.run(new SplittableRandom(seed));
    } catch (RuntimeException | Error e) {
      throw new AssertionError("seed " + seed + ": replay with -Dublk.seed=" + seed, e);
    }
  }
}
