package io.ublkbridge.nbd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.netty.buffer.UnpooledByteBufAllocator;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.RecordedRequest;
import io.ublkbridge.target.SuccessionFile;
import io.ublkbridge.target.TargetOpenException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The client's queues, journal, fence and reconnecting against a server that is killed, hangs,
/// closes connections, shuts down, reorders and executes late, and is killed itself: no read finds
/// what was never the block's content, and no flush succeeds while something acknowledged before it
/// is not durable.
///
/// Each failure names its seed; replay it with `-Dublk.seed=N`. `-Dublk.seeds=N` tries more.
final class ReconnectSimulationTest {
  private static final int SEEDS = Integer.getInteger("ublk.seeds", 300);
  private static final int STEPS = 6000;
  private static final Duration DEADLINE = Duration.ofSeconds(2);
  private static final Duration FENCE_TIME = Duration.ofSeconds(4);

  private static final int BUFFER_BYTES = 3 << 10;

  private static final int SLOTS_AT_ONCE = 3;

  /// What a run is about.
  private enum Trouble {
    /// Of the server, with a journal in memory.
    OF_THE_SERVER,
    /// The same without a journal.
    WITHOUT_A_JOURNAL,
    /// And this process is killed too, again and again, with its journal in a file.
    OF_BOTH
  }

  @TempDir Path dir;

  /// What one process has.
  private static final class Serving {
    final List<SimulatedLoops.Loop> loops = new ArrayList<>();
    final List<SimulatedLoops.Loop> queueLoops = new ArrayList<>();
    final List<SendBuffers> buffers = new ArrayList<>();
    final List<NbdQueue> queues = new ArrayList<>();
    final WriteJournal journal;
    final Reconnector reconnector;
    @Nullable JournalFile file;

    Serving(Run run) {
      journal =
          new WriteJournal(
              run.trouble == Trouble.WITHOUT_A_JOURNAL
                  ? WriteJournal.Mode.COUNT
                  : WriteJournal.Mode.KEEP,
              run.journalBytes);
      SimulatedLoops.Loop control = run.loops.newLoop();
      loops.add(control);
      Fence fence = new Fence(this::wake);
      reconnector =
          new Reconnector(
              control,
              (queue, made, failed) -> run.dial(queueLoops.get(queue), made, failed),
              journal,
              fence,
              SimulatedServer.negotiated(),
              new Reconnector.Policy(run.lossTimeout, FENCE_TIME),
              run.random.split());
      for (int i = 0; i < run.queueCount; i++) {
        queueLoops.add(run.loops.newLoop());
      }
      loops.addAll(queueLoops);
      ExportInfo info = SimulatedServer.negotiated().info();
      shared =
          new NbdQueue.Shared(
              new CommandRules(geometry(info), info), fence, journal, reconnector::lost, DEADLINE);
    }

    private final NbdQueue.Shared shared;

    /// Serves on connections that were made before.
    void serve(List<List<NbdConnection>> connections) {
      for (int i = 0; i < queueLoops.size(); i++) {
        JournalFile lasting = file;
        SendBuffers queueBuffers =
            new SendBuffers(
                UnpooledByteBufAllocator.DEFAULT,
                BUFFER_BYTES,
                lasting == null ? null : lasting.part(i, SLOTS_AT_ONCE));
        buffers.add(queueBuffers);
        NbdQueue queue = new NbdQueue(i, queueLoops.get(i), queueBuffers, shared);
        reconnector.serve(queue, connections.get(i));
        queues.add(queue);
      }
    }

    List<List<NbdConnection>> connect(Run run) {
      List<List<NbdConnection>> connections = new ArrayList<>();
      for (SimulatedLoops.Loop loop : queueLoops) {
        List<NbdConnection> first = new ArrayList<>();
        for (int c = 0; c < run.connectionCount; c++) {
          first.add(run.server.accept(loop));
        }
        connections.add(first);
      }
      return connections;
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
  }

  /// One run: everything in it comes from the seed.
  private static final class Run implements AutoCloseable {
    final SplittableRandom random;
    final Trouble trouble;
    final Path file;
    final SimulatedLoops loops;
    final SimulatedServer server;
    final SimulatedClient client;
    final int journalBytes;
    final JournalLayout layout;
    final Duration lossTimeout;
    final int queueCount;
    final int connectionCount;
    Serving serving;

    /// What a successor flushes before anything goes on, while it has not.
    @Nullable RecordedRequest firstFlush;

    int deaths;
    long reconnects;
    long replays;

    Run(long seed, Trouble trouble, Path file) throws TargetOpenException {
      random = new SplittableRandom(seed);
      this.trouble = trouble;
      this.file = file;
      loops = new SimulatedLoops(random.split());
      server = new SimulatedServer(random.split(), loops, FENCE_TIME.toNanos());
      journalBytes = random.nextBoolean() ? 64 << 20 : 3 * BUFFER_BYTES;
      int slots = random.nextBoolean() ? 12 : SLOTS_AT_ONCE + 1;
      layout = new JournalLayout(3, random.nextBoolean() ? 64 : 8, slots, 4096);
      lossTimeout = random.nextInt(4) == 0 ? Duration.ofSeconds(20) : Duration.ofMinutes(10);
      queueCount = 1 + random.nextInt(3);
      connectionCount = 1 + random.nextInt(2);
      serving = new Serving(this);
      begin(false);
      serving.serve(serving.connect(this));
      client =
          new SimulatedClient(
              random.split(), server, serving.queues, trouble != Trouble.WITHOUT_A_JOURNAL);
    }

    private void begin(boolean inherited) throws TargetOpenException {
      if (trouble == Trouble.OF_BOTH) {
        serving.file =
            JournalSuccession.begin(
                new SuccessionFile(file, inherited),
                serving.journal,
                serving.reconnector,
                SimulatedServer.negotiated().identity(),
                layout,
                SLOTS_AT_ONCE);
        assertNotNull(serving.file);
      }
    }

    private void dial(
        SimulatedLoops.Loop loop,
        Consumer<NbdConnection> made,
        Consumer<TargetOpenException> failed) {
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

    /// This process is killed, and another goes on as soon as the server answers: it connects,
    /// waits for what the dead one had sent, and flushes before anything else is done.
    void die() {
      deaths++;
      client.collect();
      count();
      loops.end(serving.loops);
      server.clientDied();
      JournalFile dead = serving.file;
      if (dead != null) {
        dead.close();
      }
      server.stall(false);
      server.restart();
      Serving next = new Serving(this);
      serving = next;
      List<List<NbdConnection>> connections = next.connect(this);
      for (int i = 0; i < 40; i++) {
        server.step();
        loops.pass(FENCE_TIME.dividedBy(39));
      }
      try {
        begin(true);
      } catch (TargetOpenException e) {
        throw new AssertionError(e);
      }
      next.serve(connections);
      RecordedRequest flush = RecordedRequest.flush();
      firstFlush = flush;
      NbdQueue queue = next.queues.getFirst();
      queue.loop().execute(() -> queue.submit(flush));
    }

    private void count() {
      reconnects += serving.reconnector.state().reconnects();
      replays += serving.reconnector.state().replays();
    }

    private void goOn() {
      RecordedRequest flush = firstFlush;
      if (flush != null && flush.ended()) {
        firstFlush = null;
        IoError error = flush.await();
        if (error == null) {
          client.servedBy(serving.queues);
        } else if (error == IoError.UNREACHABLE) {
          die();
        } else {
          throw new AssertionError("a successor cannot flush: " + error);
        }
      }
    }

    void step() {
      switch (random.nextInt(10)) {
        case 0 -> {
          if (client.inFlight() < 24 && firstFlush == null) {
            client.submitRandom();
          }
        }
        case 1, 2, 3 -> server.step();
        case 4 -> loops.pass(Duration.ofMillis(random.nextInt(60)));
        default -> loops.step();
      }
      client.collect();
      goOn();
    }

    void trouble() {
      if (trouble == Trouble.OF_BOTH && random.nextInt(3) == 0) {
        if (random.nextBoolean()) {
          server.kill();
        }
        die();
        return;
      }
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
      count();
    }

    @Override
    public void close() {
      server.close();
      serving.buffers.forEach(SendBuffers::close);
    }

    /// Everything must end now that the server behaves.
    private void settle() {
      for (int i = 0; client.inFlight() > 0 || firstFlush != null; i++) {
        assertTrue(
            i < 200_000, () -> client.inFlight() + " requests never end: " + client.describe());
        server.step();
        if (!loops.step() || i % 8 == 0) {
          loops.pass(Duration.ofMillis(20));
        }
        client.collect();
        goOn();
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
    long deaths;
  }

  private Totals forEachSeed(Trouble trouble) throws TargetOpenException {
    Totals totals = new Totals();
    Long only = Long.getLong("ublk.seed");
    for (long seed = only == null ? 0 : only; seed < (only == null ? SEEDS : only + 1); seed++) {
      try (Run run = new Run(seed, trouble, dir.resolve("3.journal"))) {
        run.run();
        totals.completed += run.client.completed;
        totals.unreachable += run.client.unreachable;
        totals.flushErrors += run.client.flushErrors;
        totals.reconnects += run.reconnects;
        totals.replays += run.replays;
        totals.lateExecutions += run.server.lateExecutions;
        totals.deaths += run.deaths;
      } catch (AssertionError | RuntimeException e) {
        throw new AssertionError("seed " + seed + ": replay it with -Dublk.seed=" + seed, e);
      }
    }
    System.out.printf(
        "%d seeds: %d requests, %d outages, %d writes done again, %d executed late,"
            + " %d unreachable, %d flush errors, %d processes killed%n",
        only == null ? SEEDS : 1,
        totals.completed,
        totals.reconnects,
        totals.replays,
        totals.lateExecutions,
        totals.unreachable,
        totals.flushErrors,
        totals.deaths);
    return totals;
  }

  @Test
  void aServerThatLosesItsCacheLosesNothingThatWasAcknowledged() throws Exception {
    Totals totals = forEachSeed(Trouble.OF_THE_SERVER);
    assertEquals(0, totals.flushErrors);
    assertTrue(totals.replays > 0 && totals.lateExecutions > 0, "nothing was simulated");
  }

  @Test
  void aProcessThatDiesWithItsServerLosesNothingThatWasAcknowledged() throws Exception {
    Totals totals = forEachSeed(Trouble.OF_BOTH);
    assertEquals(0, totals.flushErrors);
    assertTrue(totals.replays > 0 && totals.deaths > 0, "nothing was simulated");
  }

  @Test
  void withoutTheJournalALossIsReportedByTheNextFlush() throws Exception {
    Totals totals = forEachSeed(Trouble.WITHOUT_A_JOURNAL);
    assertTrue(totals.flushErrors > 0, "nothing was simulated");
  }
}
