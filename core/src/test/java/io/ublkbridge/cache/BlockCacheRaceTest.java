package io.ublkbridge.cache;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// One cache under several real threads, so small that frames move from block to block all the
/// time: nobody reads another block's bytes, or bytes older than a modification that had ended
/// before the read began, and every frame comes back.
final class BlockCacheRaceTest {
  private static final int THREADS = 4;
  private static final int CACHED = 16;

  /// Many more than fit, or hardly more: the former moves frames, the latter races for blocks.
  private static final int BLOCKS_MAX = 96;

  private static final int ROUNDS = Integer.getInteger("ublk.rounds", 60_000);
  private static final int BLOCK_BYTES = 256;

  private final BlockCache cache =
      new BlockCache(new CacheBudget(BLOCK_BYTES, CACHED, THREADS, 1, 0));

  /// What the target has of each block: a count of its modifications.
  private final AtomicLongArray target = new AtomicLongArray(BLOCKS_MAX);

  /// Up to which of them all have ended, as far as anybody was told.
  private final AtomicLongArray ended = new AtomicLongArray(BLOCKS_MAX);

  private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();

  @ParameterizedTest
  @ValueSource(ints = {3, 24, BLOCKS_MAX})
  void framesAreNeverMixedUp(int blocks) throws InterruptedException {
    List<Thread> threads = new ArrayList<>();
    for (int i = 0; i < THREADS; i++) {
      SplittableRandom random = new SplittableRandom(i);
      threads.add(Thread.ofPlatform().start(() -> run(random, blocks)));
    }
    for (Thread thread : threads) {
      thread.join();
    }
    assertNull(failure.get(), () -> String.valueOf(failure.get()));
    assertEquals(cache.budget().totalBlocks() - cache.blockCount(), cache.freeFrames());
    cache.close();
    assertEquals(cache.budget().totalBlocks(), cache.freeFrames());
  }

  private void run(SplittableRandom random, int blocks) {
    BlockKey key = new BlockKey(0);
    try {
      for (int i = 0; i < ROUNDS && failure.get() == null; i++) {
        int any = random.nextInt(blocks);
        int block = Math.min(any, random.nextInt(blocks));
        if (random.nextInt(4) == 0) {
          long version = target.incrementAndGet(block);
          cache.modified(block, block, key);
          ended.accumulateAndGet(block, version, Math::max);
        } else {
          read(block, key, random);
        }
      }
    } catch (RuntimeException | Error e) {
      failure.compareAndSet(null, e);
    }
  }

  private void read(int block, BlockKey key, SplittableRandom random) {
    long oldest = ended.get(block);
    BlockBuffer found = cache.retained(key.at(block));
    if (found != null) {
      check(found, block, oldest);
      found.release();
      return;
    }
    BlockBuffer frame = cache.takeFrame();
    if (frame == null) {
      return;
    }
    long generation = cache.generation(block);
    long content = target.get(block);
    for (int i = 0; i < BLOCK_BYTES; i += Long.BYTES) {
      frame.memory().set(ValueLayout.JAVA_LONG, i, ((long) block << 48) | content);
      if (random.nextInt(64) == 0) {
        Thread.onSpinWait();
      }
    }
    frame.filledWith(block);
    cache.land(block, frame, generation);
    frame.release();
  }

  private static void check(BlockBuffer found, int block, long oldest) {
    long first = found.memory().get(ValueLayout.JAVA_LONG, 0);
    for (int i = 0; i < BLOCK_BYTES; i += Long.BYTES) {
      long word = found.memory().get(ValueLayout.JAVA_LONG, i);
      if (word >>> 48 != block || word != first || (word & 0xffffffffffffL) < oldest) {
        throw new AssertionError(
            "block %d holds %x, and %x at %d; version %d was there"
                .formatted(block, first, word, i, oldest));
      }
    }
  }
}
