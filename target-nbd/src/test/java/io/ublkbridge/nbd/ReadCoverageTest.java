package io.ublkbridge.nbd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.BitSet;
import java.util.Random;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class ReadCoverageTest {
  private static final int LENGTH = 64;

  @Test
  void everythingInOrderCovers() {
    ReadCoverage coverage = new ReadCoverage();
    assertTrue(coverage.add(0, 10));
    assertFalse(coverage.covers(LENGTH));
    assertTrue(coverage.add(10, LENGTH));
    assertTrue(coverage.covers(LENGTH));
  }

  @Test
  void aGapIsNoCover() {
    ReadCoverage coverage = new ReadCoverage();
    assertTrue(coverage.add(0, 10));
    assertTrue(coverage.add(11, LENGTH));
    assertFalse(coverage.covers(LENGTH));
    assertTrue(coverage.add(10, 11));
    assertTrue(coverage.covers(LENGTH));
  }

  @Test
  void clearForgetsRanges() {
    ReadCoverage coverage = new ReadCoverage();
    assertTrue(coverage.add(8, 16));
    coverage.clear();
    assertTrue(coverage.add(0, 8));
    assertFalse(coverage.covers(16));
  }

  @Test
  void rangesAreLimited() {
    ReadCoverage coverage = new ReadCoverage();
    for (int i = 1; i <= ReadCoverage.RANGES_MAX; i++) {
      assertTrue(coverage.add(2 * i, 2 * i + 1));
    }
    assertFalse(coverage.add(2 * ReadCoverage.RANGES_MAX + 2, 2 * ReadCoverage.RANGES_MAX + 3));
  }

  /// Against a set of bits: what is told, and when it is complete.
  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3, 4, 5})
  void agreesWithAModel(long seed) {
    RandomGenerator random = new Random(seed);
    ReadCoverage coverage = new ReadCoverage();
    for (int round = 0; round < 2000; round++) {
      coverage.clear();
      BitSet model = new BitSet();
      boolean intact = true;
      for (int i = 0; i < 40 && intact && model.cardinality() < LENGTH; i++) {
        int start = random.nextInt(LENGTH);
        // Mostly what is missing, sometimes anything.
        int from = random.nextInt(8) == 0 ? start : model.nextClearBit(start);
        if (from >= LENGTH) {
          continue;
        }
        int to = from + 1 + random.nextInt(Math.min(8, LENGTH - from));
        boolean overlaps = !model.get(from, to).isEmpty();
        intact = coverage.add(from, to);
        assertEquals(!overlaps, intact, "seed " + seed + " round " + round);
        model.set(from, to);
        if (intact) {
          assertEquals(model.cardinality() == LENGTH, coverage.covers(LENGTH), "seed " + seed);
        }
      }
    }
  }
}
