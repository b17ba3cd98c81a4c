package io.ublkbridge.nbd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.netty.buffer.UnpooledByteBufAllocator;
import io.ublkbridge.target.RecordedRequest;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/// How long new writes wait for a server that may still do what it was sent long ago, step by step.
final class LateExecutionTest {
  private static final Duration DEADLINE = Duration.ofSeconds(60);
  private static final Duration TICK = DEADLINE.dividedBy(NbdQueue.TICKS_PER_DEADLINE);
  private static final Duration FENCE_TIME = Duration.ofSeconds(5);
  private static final int BLOCK = SimulatedServer.BLOCK;

  private record Dial(
      int queue, Consumer<NbdConnection> made, Consumer<TargetOpenException> failed) {}

  private final SimulatedLoops loops = new SimulatedLoops(new SplittableRandom(1));
  private final SimulatedServer server =
      new SimulatedServer(new SplittableRandom(2), loops, FENCE_TIME.toNanos());
  private final Fence fence = new Fence(this::wake);
  private final WriteJournal journal = new WriteJournal(WriteJournal.Mode.KEEP, 64 << 20);
  private final List<Dial> dials = new ArrayList<>();
  private final Reconnector reconnector =
      new Reconnector(
          loops.newLoop(),
          (queue, made, failed) -> dials.add(new Dial(queue, made, failed)),
          journal,
          fence,
          SimulatedServer.negotiated(),
          new Reconnector.Policy(Duration.ZERO, FENCE_TIME),
          new SplittableRandom(3));
  private final List<SimulatedLoops.Loop> queueLoops = new ArrayList<>();
  private final List<SendBuffers> buffers = new ArrayList<>();
  private final List<NbdQueue> queues = new ArrayList<>();

  private void wake() {
    reconnector.wake();
  }

  @BeforeEach
  void open() throws TargetOpenException {
    ExportInfo info = SimulatedServer.negotiated().info();
    NbdQueue.Shared shared =
        new NbdQueue.Shared(
            new CommandRules(info.geometry(), info), fence, journal, reconnector::lost, DEADLINE);
    for (int i = 0; i < 2; i++) {
      SimulatedLoops.Loop loop = loops.newLoop();
      queueLoops.add(loop);
      buffers.add(new SendBuffers(UnpooledByteBufAllocator.DEFAULT, 3 << 10));
      queues.add(new NbdQueue(i, loop, buffers.getLast(), shared));
      reconnector.serve(queues.getLast(), List.of(server.accept(loop)));
    }
    settle();
  }

  @AfterEach
  void close() {
    server.close();
    buffers.forEach(SendBuffers::close);
  }

  /// Lets the loops do all that they have to do now. The server does nothing.
  private void settle() {
    while (loops.step()) {
      // One more.
    }
  }

  private void pass(Duration time) {
    loops.pass(time);
    settle();
  }

  private RecordedRequest write(int queue, int block, long stamp) {
    RecordedRequest write =
        RecordedRequest.write((long) block * BLOCK, SimulatedServer.content(stamp), false);
    queueLoops.get(queue).execute(() -> queues.get(queue).submit(write));
    settle();
    return write;
  }

  /// Lets the server work for a while.
  private void serve() {
    for (int i = 0; i < 2000; i++) {
      server.step();
      settle();
    }
  }

  private void awaitLost(int connections) {
    for (int i = 0; reconnector.state().lostConnections() < connections; i++) {
      assertTrue(i < 2 * NbdQueue.TICKS_PER_DEADLINE, "a deadline is missed");
      pass(TICK);
    }
  }

  private void dialled(int number, NbdConnection connection) {
    dials.get(number).made().accept(connection);
    settle();
  }

  /// The server takes a connection and hangs anew: that it was awake then says nothing of a request
  /// that is lost afterwards. Its time begins with the next connection.
  @Test
  void aConnectionFromBeforeALossDoesNotProveThatTheServerIsAwake() {
    RecordedRequest first = write(0, 0, 1);
    pass(TICK);
    RecordedRequest second = write(1, 1, 2);
    awaitLost(1);
    assertEquals(List.of(0), dials.stream().map(Dial::queue).toList());
    NbdConnection early = server.accept(queueLoops.get(0));
    awaitLost(2);
    dialled(0, early);
    pass(FENCE_TIME);

    assertEquals(List.of(0, 1), dials.stream().map(Dial::queue).toList());
    dialled(1, server.accept(queueLoops.get(1)));
    serve();
    assertNull(first.await());
    assertNull(second.await());
    assertTrue(fence.holds(BLOCK, BLOCK), "the old server may still do it again");
    RecordedRequest newer = write(0, 1, 3);
    serve();
    assertFalse(newer.ended());
    pass(FENCE_TIME);
    serve();
    assertNull(newer.await());
    assertEquals(3, server.current(1));
  }

  /// Several losses before a dial have their time together.
  @Test
  void aConnectionFromAfterTheLossesCountsForAllOfThem() {
    RecordedRequest first = write(0, 0, 1);
    RecordedRequest second = write(1, 1, 2);
    awaitLost(2);
    dials.getFirst().failed().accept(new TargetOpenException(Reason.UNREACHABLE, "down", null));
    settle();
    pass(Duration.ofSeconds(1));
    assertEquals(0, dials.get(1).queue());
    dialled(1, server.accept(queueLoops.get(0)));
    serve();
    assertNull(first.await());
    assertTrue(fence.holds(0, BLOCK), "it was done again, and may be once more");
    pass(FENCE_TIME);

    assertFalse(fence.holds(0, BLOCK));
    assertTrue(fence.holds(BLOCK, BLOCK), "the second was not done again");
    dialled(2, server.accept(queueLoops.get(1)));
    serve();
    assertNull(second.await());
    assertFalse(fence.holds(BLOCK, BLOCK));
  }
}
