package io.ublkbridge.cache;

import io.ublkbridge.target.QueueContext;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.random.RandomGenerator;

/// A tier in memory that answers late or at once, forgets, and keeps frames for a while before it
/// has taken what is in them.
final class ModelTier implements BlockTier {
  static final int KEPT_MAX = 3;

  private final RandomGenerator random;
  private final Map<Long, byte[]> blocks = new HashMap<>();
  private final List<Runnable> undone = new ArrayList<>();
  private int kept;
  private int hits;

  ModelTier(RandomGenerator random) {
    this.random = random;
  }

  int hits() {
    return hits;
  }

  boolean idle() {
    return undone.isEmpty();
  }

  void step() {
    if (!undone.isEmpty()) {
      undone.remove(random.nextInt(undone.size())).run();
    }
  }

  Lane lane() {
    return new ModelLane();
  }

  @Override
  public Lane openLane(QueueContext context) {
    return lane();
  }

  @Override
  public int keptBlocksMax() {
    return KEPT_MAX;
  }

  @Override
  public Map<String, Object> details() {
    return Map.of();
  }

  @Override
  public void close() {}

  private final class ModelLane implements Lane {
    @Override
    public void read(long block, MemorySegment into, Answer answer) {
      Runnable work =
          () -> {
            byte[] found = blocks.get(block);
            if (found == null || random.nextInt(8) == 0) {
              into.fill((byte) 0x77);
              answer.miss();
            } else {
              into.copyFrom(MemorySegment.ofArray(found));
              hits++;
              answer.hit();
            }
          };
      later(work);
    }

    @Override
    public void offer(long block, BlockBuffer filled, int lengthBytes) {
      if (kept == KEPT_MAX) {
        return;
      }
      kept++;
      filled.retain();
      later(() -> {
        blocks.put(block, filled.memory().asSlice(0, lengthBytes).toArray(ValueLayout.JAVA_BYTE));
        filled.release();
        kept--;
        if (blocks.size() > 20) {
          blocks.remove(blocks.keySet().iterator().next());
        }
      });
    }

    private void later(Runnable work) {
      if (random.nextInt(3) == 0) {
        work.run();
      } else {
        undone.add(work);
      }
    }

    @Override
    public void close() {
      if (!undone.isEmpty()) {
        throw new AssertionError("closed although it is busy");
      }
    }
  }
}
