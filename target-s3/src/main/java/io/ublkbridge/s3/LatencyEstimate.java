package io.ublkbridge.s3;

import java.util.Arrays;

/// How long GETs take, by their size: enough to tell a slow one. Confined to the event loop.
///
/// Times are counted in classes a quarter of an octave wide, and halved now and then so that what
/// was long ago does not matter.
final class LatencyEstimate {
  /// Before enough is known: what AWS advises for small objects.
  static final long UNKNOWN_NANOS = 2_000_000_000L;

  /// Sooner than this nothing counts as slow.
  static final long FLOOR_NANOS = 10_000_000L;

  static final int SAMPLES_MIN = 32;

  private static final int SAMPLES_MAX = 1024;
  private static final int CLASSES_PER_OCTAVE = 4;

  /// The last one begins at some 18 minutes.
  private static final int CLASSES = 160;

  /// What is up to 128 KiB, up to 1 MiB, and longer.
  private static final int SIZES = 3;

  private final int[][] counts = new int[SIZES][CLASSES];
  private final int[] samples = new int[SIZES];

  void record(long lengthBytes, long nanos) {
    int size = sizeOf(lengthBytes);
    counts[size][classOf(nanos)]++;
    if (++samples[size] >= SAMPLES_MAX) {
      samples[size] = 0;
      for (int i = 0; i < CLASSES; i++) {
        counts[size][i] /= 2;
        samples[size] += counts[size][i];
      }
    }
  }

  /// After what time a GET of this length is among the slowest, and far from usual.
  long slowAfterNanos(long lengthBytes) {
    int size = sizeOf(lengthBytes);
    if (samples[size] < SAMPLES_MIN) {
      return UNKNOWN_NANOS;
    }
    long usual = quantile(size, 50);
    return Math.max(FLOOR_NANOS, Math.max(3 * usual, quantile(size, 95)));
  }

  private long quantile(int size, int percent) {
    long wanted = ((long) samples[size] * percent + 99) / 100;
    long seen = 0;
    for (int i = 0; i < CLASSES; i++) {
      seen += counts[size][i];
      if (seen >= wanted) {
        return endOfClass(i);
      }
    }
    throw new AssertionError("more samples than counts: " + Arrays.toString(counts[size]));
  }

  private static int sizeOf(long lengthBytes) {
    if (lengthBytes <= 128 << 10) {
      return 0;
    }
    return lengthBytes <= 1 << 20 ? 1 : 2;
  }

  private static int classOf(long nanos) {
    double octaves = Math.log((double) Math.max(1, nanos)) / Math.log(2);
    return Math.min(CLASSES - 1, (int) (octaves * CLASSES_PER_OCTAVE));
  }

  private static long endOfClass(int index) {
    return (long) Math.pow(2, (index + 1.0) / CLASSES_PER_OCTAVE);
  }
}
