package io.ublkbridge.nbd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.netty.buffer.UnpooledByteBufAllocator;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.TargetOpenException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;

/// The client's queues, journal, fence and reconnecting against a server that is killed, hangs,
/// closes connections, shuts down, reorders and executes late: no read finds what was never the
/// block's content, and no flush succeeds while something acknowledged before it is not durable.
///
/// Each failure names its seed; replay it with `-Dublk.seed=N`. `-Dublk.seeds=N` tries more.
final class ReconnectSimulationTest {
  private static final int SEEDS = Integer.getInteger("ublk.seeds", 300);
  private static final int STEPS = 6000;
  private static final Duration DEADLINE = Duration.ofSeconds(2);
  private static final Duration FENCE_TIME = Duration.ofSeconds(4);

  private static final int BUFFER_BYTES = 3 << 10;

  /// One run: everything in it comes from the seed.
  private static final class Run implements AutoCloseable {
    final SplittableRandom random;
    final SimulatedLoops loops;
    final SimulatedServer server;
    final SimulatedClient client;
    final List<SimulatedLoops.Loop> queueLoops = new ArrayList<>();
    final List<SendBuffers> buffers = new ArrayList<>();
    final Reconnector reconnector;

    Run(long seed, boolean journal) {
      random = new SplittableRandom(seed);
      loops = new SimulatedLoops(random.split());
      server = new SimulatedServer(random.split(), loops, FENCE_TIME.toNanos());
      WriteJournal shared =
          new WriteJournal(
              journal ? WriteJournal.Mode.KEEP : WriteJournal.Mode.COUNT,
              random.nextBoolean() ? 64 << 20 : 3 * BUFFER_BYTES);
      SimulatedLoops.Loop control = loops.newLoop();
      Fence fence = new Fence(this::wake);
      Duration lossTimeout =
          random.nextInt(4) == 0 ? Duration.ofSeconds(20) : Duration.ofMinutes(10);
      reconnector =
          new Reconnector(
              control,
              this::dial,
              shared,
              fence,
              SimulatedServer.negotiated(),
              new Reconnector.Policy(lossTimeout, FENCE_TIME),
              random.split());
      List<NbdQueue> queues = queues(shared, fence);
      client = new SimulatedClient(random.split(), server, queues, journal);
    }

    private List<NbdQueue> queues(WriteJournal journal, Fence fence) {
      ExportInfo info = SimulatedServer.negotiated().info();
      CommandRules rules = new CommandRules(geometry(info), info);
      NbdQueue.Shared shared =
          new NbdQueue.Shared(rules, fence, journal, reconnector::lost, DEADLINE);
      int count = 1 + random.nextInt(3);
      int connections = 1 + random.nextInt(2);
      List<NbdQueue> queues = new ArrayList<>();
      for (int i = 0; i < count; i++) {
        SimulatedLoops.Loop loop = loops.newLoop();
        queueLoops.add(loop);
        SendBuffers queueBuffers = new SendBuffers(UnpooledByteBufAllocator.DEFAULT, BUFFER_BYTES);
        buffers.add(queueBuffers);
        NbdQueue queue = new NbdQueue(i, loop, queueBuffers, shared);
        List<NbdConnection> first = new ArrayList<>();
        for (int c = 0; c < connections; c++) {
          first.add(server.accept(loop));
        }
        reconnector.serve(queue, first);
        queues.add(queue);
      }
      return queues;
    }

    private static Geometry geometry(ExportInfo info) {
      try {
        return info.geometry();
      } catch (TargetOpenException e) {
        throw new AssertionError(e);
      }
    }

    private void wake() {
      reconnector.wake();
    }

    private void dial(
        int queue, Consumer<NbdConnection> made, Consumer<TargetOpenException> failed) {
      SimulatedLoops.Loop loop = queueLoops.get(queue);
      loop.after(
          Duration.ofMillis(random.nextInt(300)),
          () -> {
            if (server.answers()) {
              made.accept(server.accept(loop));
            } else {
              failed.accept(
                  new TargetOpenException(
                      TargetOpenException.Reason.UNREACHABLE, "simulated outage", null));
            }
          });
    }

    void step() {
      switch (random.nextInt(10)) {
        case 0 -> {
          if (client.inFlight() < 24) {
            client.submitRandom();
          }
        }
        case 1, 2, 3 -> server.step();
        case 4 -> loops.pass(Duration.ofMillis(random.nextInt(60)));
        default -> loops.step();
      }
      client.collect();
    }

    void trouble() {
      switch (random.nextInt(12)) {
        case 0, 1, 2 -> {
          if (random.nextInt(3) == 0) {
            server.refuseWithShutdown();
          }
          server.kill();
          client.serverWasKilled();
        }
        case 3, 4 -> server.closeOne();
        case 5 -> server.stall(true);
        case 6 -> loops.pass(Duration.ofSeconds(random.nextInt(5)));
        default -> {
          server.stall(false);
          server.restart();
        }
      }
    }

    void run() {
      for (int i = 0; i < STEPS; i++) {
        if (random.nextInt(250) == 0) {
          trouble();
        }
        step();
      }
      server.stall(false);
      server.restart();
      settle();
      client.submitFlush();
      settle();
      client.submitFlush();
      settle();
    }

    @Override
    public void close() {
      server.close();
      buffers.forEach(SendBuffers::close);
    }

    /// Everything must end now that the server behaves.
    private void settle() {
      for (int i = 0; client.inFlight() > 0; i++) {
        assertTrue(
            i < 200_000, () -> client.inFlight() + " requests never end: " + client.describe());
        server.step();
        if (!loops.step() || i % 8 == 0) {
          loops.pass(Duration.ofMillis(20));
        }
        client.collect();
      }
    }
  }

  private static final class Totals {
    long completed;
    long unreachable;
    long flushErrors;
    long reconnects;
    long replays;
    long lateExecutions;
  }

  private static Totals forEachSeed(boolean journal) {
    Totals totals = new Totals();
    Long only = Long.getLong("ublk.seed");
    for (long seed = only == null ? 0 : only; seed < (only == null ? SEEDS : only + 1); seed++) {
      try (Run run = new Run(seed, journal)) {
        run.run();
        totals.completed += run.client.completed;
        totals.unreachable += run.client.unreachable;
        totals.flushErrors += run.client.flushErrors;
        totals.reconnects += run.reconnector.state().reconnects();
        totals.replays += run.reconnector.state().replays();
        totals.lateExecutions += run.server.lateExecutions;
      } catch (AssertionError | RuntimeException e) {
        throw new AssertionError("seed " + seed + ": replay it with -Dublk.seed=" + seed, e);
      }
    }
    System.out.printf(
        "%d seeds: %d requests, %d outages, %d writes done again, %d executed late,"
            + " %d unreachable, %d flush errors%n",
        only == null ? SEEDS : 1,
        totals.completed,
        totals.reconnects,
        totals.replays,
        totals.lateExecutions,
        totals.unreachable,
        totals.flushErrors);
    return totals;
  }

  @Test
  void aServerThatLosesItsCacheLosesNothingThatWasAcknowledged() {
    Totals totals = forEachSeed(true);
    assertEquals(0, totals.flushErrors);
    assertTrue(totals.replays > 0 && totals.lateExecutions > 0, "nothing was simulated");
  }

  @Test
  void withoutTheJournalALossIsReportedByTheNextFlush() {
    Totals totals = forEachSeed(false);
    assertTrue(totals.flushErrors > 0, "nothing was simulated");
  }
}
