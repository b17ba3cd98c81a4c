package io.ublkbridge.queue;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import io.ublkbridge.target.PayloadException;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// A queue between a simulated kernel and a faulty target, over many seeds: every request ends
/// exactly once, no tag has two owners, reads return what was written, and a stop at any step
/// drains.
///
/// Each failure names its seed; replay it with `-Dublk.seed=N`.
final class QueueSimulationTest {
  private static final int SEEDS = 100;
  private static final int STEPS = 600;

  /// One run: everything in it comes from the seed.
  private static final class Run {
    final SplittableRandom random;
    final SimulatedDriver driver;
    final FaultyTarget target;
    final UblkQueue queue;
    final List<Throwable> failures = new ArrayList<>();

    Run(long seed, int depth) {
      random = new SplittableRandom(seed);
      byte[] disk = new byte[64 * SimulatedDriver.BLOCK];
      random.nextBytes(disk);
      driver = new SimulatedDriver(random.split(), depth, disk);
      target = new FaultyTarget(random.split(), disk);
      queue = new UblkQueue("simulated queue", driver, target, failures::add);
      driver.serve(queue);
    }

    void step() {
      switch (random.nextInt(3)) {
        case 0 -> driver.issueRandom();
        case 1 -> driver.deliverOne();
        default -> endOne();
      }
    }

    /// A target may be left with a PayloadException in its own hands; then it fails the request.
    boolean endOne() {
      List<?> before = List.copyOf(target.held());
      try {
        return target.endOne();
      } catch (PayloadException e) {
        before.stream()
            .filter(request -> !target.held().contains(request))
            .forEach(request -> ((IoSlot) request).fail(IoError.IO, e));
        return true;
      }
    }

    void runAndDrain(int steps) {
      queue.start();
      for (int i = 0; i < steps; i++) {
        step();
      }
      driver.stop();
      boolean busy = true;
      while (busy) {
        busy = driver.deliverOne();
        busy |= endOne();
      }
      assertEquals(List.of(), failures);
      assertEquals(driver.issuedCount(), driver.endedCount(), "each request ends exactly once");
      assertEquals(driver.depth(), driver.count(SimulatedDriver.TagOwner.GONE));
      assertTrue(queue.drained().toCompletableFuture().isDone());
      assertEquals(0, queue.counters().inFlight());
      assertEquals(driver.failedCount(), queue.counters().errors());
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 7, 128})
  void everyRequestEndsExactlyOnceAtAnyDepth(int depth) {
    forEachSeed(seed -> {
      Run run = new Run(seed, depth);
      run.target.atOnceRate(run.random.nextDouble());
      run.runAndDrain(STEPS);
      assertEquals(0, run.driver.failedCount());
    });
  }

  @Test
  void failuresOfTheTargetReachTheKernelAndNothingElse() {
    forEachSeed(seed -> {
      Run run = new Run(seed, 16);
      run.target.failureRate(0.3).atOnceRate(0.5);
      run.runAndDrain(STEPS);
    });
  }

  @Test
  void failedCopiesFailTheirRequestsOnly() {
    forEachSeed(seed -> {
      Run run = new Run(seed, 16);
      run.driver.copyFailureRate(0.2);
      run.target.atOnceRate(0.5);
      run.runAndDrain(STEPS);
    });
  }

  @Test
  void stopAtEveryStepDrains() {
    for (int steps = 0; steps < 200; steps++) {
      int lastStep = steps;
      atSeed(lastStep, seed -> new Run(seed, 8).runAndDrain(lastStep));
    }
  }

  @Test
  void simulationNoticesATargetThatLies() {
    Run run = new Run(1, 4);
    run.queue.start();
    run.driver.issue(0, Operation.READ, 0, SimulatedDriver.BLOCK);
    run.driver.deliverOne();
    run.target.held().getFirst().complete();
    assertFalse(run.failures.isEmpty(), "a READ that supplied no bytes went unnoticed");
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
