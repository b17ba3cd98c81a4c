package io.ublkbridge.nbd;

import java.util.Arrays;
import java.util.SplittableRandom;

/// Runs a test over many seeds; a failure names its seed. `-Dublk.seed=N` replays one, and
/// `-Dublk.seeds=N` tries so many.
final class Seeds {
  private static final int COUNT = 300;

  /// What is run; all that happens by chance comes from `random`.
  @FunctionalInterface
  interface Scenario {
    void run(SplittableRandom random) throws Exception;
  }

  private Seeds() {}

  static void forEach(Scenario scenario) {
    Long only = Long.getLong("ublk.seed");
    if (only != null) {
      at(only, scenario);
      return;
    }
    for (long seed = 0; seed < Long.getLong("ublk.seeds", COUNT); seed++) {
      at(seed, scenario);
    }
  }

  private static void at(long seed, Scenario scenario) {
    try {
      scenario.run(new SplittableRandom(seed));
    } catch (Exception | Error e) {
      throw new AssertionError("seed " + seed + ": replay with -Dublk.seed=" + seed, e);
    }
  }

  /// `stream` with a few changes: bits, bytes, what is missing, what comes twice, an early end.
  static byte[] mutate(SplittableRandom random, byte[] stream) {
    byte[] mutated = stream.clone();
    for (int changes = 1 + random.nextInt(3); changes > 0 && mutated.length > 0; changes--) {
      int at = random.nextInt(mutated.length);
      int length = Math.min(mutated.length - at, 1 + random.nextInt(40));
      mutated =
          switch (random.nextInt(5)) {
            case 0 -> {
              mutated[at] ^= (byte) (1 << random.nextInt(8));
              yield mutated;
            }
            case 1 -> {
              int[] interesting = {0, 1, 0x7f, 0x80, 0xff};
              mutated[at] = (byte) interesting[random.nextInt(interesting.length)];
              yield mutated;
            }
            case 2 -> splice(mutated, at, at + length, new byte[0]);
            case 3 -> splice(mutated, at, at, Arrays.copyOfRange(mutated, at, at + length));
            default -> Arrays.copyOf(mutated, at);
          };
    }
    return mutated;
  }

  private static byte[] splice(byte[] stream, int from, int to, byte[] insert) {
    byte[] spliced = new byte[stream.length - (to - from) + insert.length];
    System.arraycopy(stream, 0, spliced, 0, from);
    System.arraycopy(insert, 0, spliced, from, insert.length);
    System.arraycopy(stream, to, spliced, from + insert.length, stream.length - to);
    return spliced;
  }
}
