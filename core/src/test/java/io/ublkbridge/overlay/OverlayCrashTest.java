package io.ublkbridge.overlay;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.target.UringLoops;
import java.util.stream.LongStream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Test;

/// Power that fails at any moment under an overlay: what was flushed is there, what was not is old
/// or new, everything else is the base's.
///
/// `-Dublk.seed=N` replays one seed; `-Dublk.seeds=N` runs the first N.
class OverlayCrashTest {
  private static final long SEEDS = Long.getLong("ublk.seeds", 100);

  @AutoClose private final UringLoops loops = new UringLoops(1);

  @Test
  void whatWasFlushedSurvives() {
    Long only = Long.getLong("ublk.seed");
    long flushes = 0;
    long crashes = 0;
    for (long seed : only == null ? LongStream.range(0, SEEDS).toArray() : new long[] {only}) {
      CrashSimulation simulation = new CrashSimulation(seed, loops.next());
      try {
        simulation.run();
      } catch (Exception | AssertionError e) {
        throw new AssertionError("replay with -Dublk.seed=" + seed + ": " + e.getMessage(), e);
      }
      flushes += simulation.flushes();
      crashes += simulation.crashes();
    }
    System.out.printf("overlay-crash: %d crashes, %d flushes kept%n", crashes, flushes);
    assertTrue(only != null || flushes > SEEDS, "the simulation hardly ever flushes");
  }
}
