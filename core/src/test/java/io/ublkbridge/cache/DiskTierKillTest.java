package io.ublkbridge.cache;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.nio.charset.StandardCharsets.UTF_8;
import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.netty.channel.IoEventLoop;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.UringLoops;
import java.io.BufferedReader;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Real processes that use a disk tier are killed with `kill -9`: their successors find its blocks,
/// and only right ones. `-Dublk.kills=N` kills so many.
final class DiskTierKillTest {
  private static final int KILLS = 2;
  private static final int BLOCK_BYTES = 16384;
  private static final TierContents CONTENTS = new TierContents(11, 400, BLOCK_BYTES);
  private static final long BYTES_MAX = new TierLayout(BLOCK_BYTES).fileBytes(300);

  @TempDir private Path directory = Path.of("");

  @Test
  @Timeout(value = 30, unit = TimeUnit.MINUTES)
  void successorsFindRightBlocksOnly() throws Exception {
    SplittableRandom random = new SplittableRandom(7);
    long found = 0;
    for (int kill = Integer.getInteger("ublk.kills", KILLS); kill > 0; kill--) {
      Process process = start(random.nextLong());
      try (BufferedReader lines = process.inputReader(UTF_8)) {
        String first = requireNonNull(lines.readLine(), "no process");
        found += Long.parseLong(first.replaceAll("\\D", ""));
        for (int progress = random.nextInt(100); progress > 0; progress--) {
          assertEquals("going on", lines.readLine());
        }
        process.destroyForcibly();
        assertEquals(137, process.waitFor());
      }
    }
    assertTrue(found > 0, "no successor found anything");
    System.out.printf("successors found %d MiB%n", found >> 20);
  }

  /// A second process with the same contents leaves the first one's file alone.
  @Test
  void twoProcessesAtOnceHaveTwoFiles() throws Exception {
    try (UringLoops loops = new UringLoops(1);
        FramePool frames = new FramePool(64, BLOCK_BYTES)) {
      Worker worker = new Worker(directory, loops.next(), frames);
      Process process = start(3);
      try (BufferedReader lines = process.inputReader(UTF_8)) {
        assertEquals("bytes 0", lines.readLine());
        worker.work(new SplittableRandom(4), 2000);
        assertEquals("going on", lines.readLine());
      } finally {
        process.destroyForcibly().waitFor();
      }
      worker.work(new SplittableRandom(5), 2000);
      assertEquals(0L, worker.tier.details().get("corrupt"));
      worker.close();
    }
  }

  private Process start(long seed) throws IOException {
    return new ProcessBuilder(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-ea",
            "-Xmx64m",
            "-XX:TieredStopAtLevel=1",
            "--enable-native-access=ALL-UNNAMED",
            "--sun-misc-unsafe-memory-access=allow",
            "-cp",
            System.getProperty("surefire.test.class.path", System.getProperty("java.class.path")),
            DiskTierKillTest.class.getName(),
            directory.toString(),
            Long.toString(seed))
        .redirectError(ProcessBuilder.Redirect.INHERIT)
        .start();
  }

  /// The process that is killed.
  public static void main(String[] arguments) throws Exception {
    SplittableRandom random = new SplittableRandom(Long.parseLong(arguments[1]));
    UringLoops loops = new UringLoops(1);
    Worker worker = new Worker(Path.of(arguments[0]), loops.next(), new FramePool(64, BLOCK_BYTES));
    System.out.println("bytes " + worker.tier.details().get("cachedBytes"));
    while (worker.wrong == null) {
      worker.work(random, 50);
      System.out.println("going on");
    }
    System.out.println(worker.wrong);
    System.exit(3);
  }

  /// Reads and offers blocks as a cache would.
  private static final class Worker {
    final DiskTier tier;
    private final IoEventLoop loop;
    private final FramePool frames;
    private final BlockTier.Lane lane;
    private final Semaphore underWay = new Semaphore(16);
    volatile @Nullable String wrong;

    Worker(Path directory, IoEventLoop loop, FramePool frames) throws IOException {
      this.loop = loop;
      this.frames = frames;
      tier =
          DiskTier.open(
              new TierDirectory(directory, BYTES_MAX * 2),
              CONTENTS.identity(),
              new DiskTier.Means(task -> new Thread(task).start(), 16, 1 << 20));
      lane = tier.openLane(new QueueContext(0, 1, 16, 1 << 20, loop));
    }

    void work(SplittableRandom random, int count) {
      for (int i = 0; i < count; i++) {
        int block = random.nextInt(CONTENTS.blockCount());
        underWay.acquireUninterruptibly();
        loop.execute(() -> read(block));
      }
    }

    private void read(int block) {
      BlockBuffer frame = requireNonNull(frames.take());
      MemorySegment into = frame.memory().asSlice(0, CONTENTS.lengthBytes(block));
      lane.read(
          block,
          into,
          new BlockTier.Answer() {
            @Override
            public void hit() {
              if (!Arrays.equals(CONTENTS.bytes(block), into.toArray(JAVA_BYTE))) {
                wrong = "wrong bytes of block " + block;
              }
              end();
            }

            @Override
            public void miss() {
              CONTENTS.fill(block, frame.memory());
              frame.filledWith(block);
              lane.offer(block, frame, CONTENTS.lengthBytes(block));
              end();
            }

            private void end() {
              frame.release();
              underWay.release();
            }
          });
    }

    void close() {
      underWay.acquireUninterruptibly(16);
      lane.close();
      tier.close();
      assertEquals(null, wrong);
    }
  }
}
