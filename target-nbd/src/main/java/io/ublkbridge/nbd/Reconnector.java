package io.ublkbridge.nbd;

import io.ublkbridge.nbd.JournalReplay.Result;
import io.ublkbridge.target.Durations;
import io.ublkbridge.target.TargetOpenException;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Brings lost connections of a target back, so that nobody above the disk notices more than a
/// pause.
///
/// ```
/// lost ─→ dial (backoff, for ever) ─→ same export? ─no→ keep waiting, say so
///                                        │ yes
///               is another connection alive, proven by an answer given after the dial?
///                    │ yes: same server                  │ no: the server may be a new one
///                    │                                   ↓
///                    │              replay the journal on the new connection, flush
///                    └──────────────→ adopt ←────────────┘
/// ```
///
/// All connections in use therefore always lead to one server that has lost nothing which we
/// acknowledged, and a FLUSH on any of them means what it says.
///
/// A process that goes on with the disk of one that died begins the same way: what that has left in
/// its journal is done again on the first connection, and the others wait for it.
///
/// Runs on one loop, and talks to the queues on theirs. Nothing here blocks.
final class Reconnector {
  private static final Logger LOG = LoggerFactory.getLogger(Reconnector.class);

  /// A connection that lasted shorter is no sign that all is well.
  private static final Duration STABLE = Duration.ofSeconds(1);

  /// How long a device that is to be stopped still waits for its server.
  private static final Duration STOPPING_PATIENCE = Duration.ofSeconds(4);

  /// Makes one connection for a queue, on that queue's loop.
  interface Dialer {
    /// Tells exactly one of the two, from any thread.
    void dial(int queue, Consumer<NbdConnection> made, Consumer<TargetOpenException> failed);
  }

  /// How an outage is dealt with.
  ///
  /// @param lossTimeout how long requests wait for a connection; zero for ever
  /// @param fenceTime how long the old server of an ambiguous loss may take to finish what it was
  ///   sent, once the new connection is there
  record Policy(Duration lossTimeout, Duration fenceTime) {}

  /// What is going on, for people.
  ///
  /// @param lostSinceNanos on the loop's clock
  /// @param why null while all is well
  record State(
      int lostConnections,
      long lostSinceNanos,
      @Nullable String why,
      int reconnects,
      long replays) {}

  private record Held(Lane lane, NbdConnection connection) {}

  private final QueueLoop loop;
  private final Dialer dialer;
  private final WriteJournal journal;
  private final Fence fence;
  private Negotiated expected;
  private final Policy policy;
  private final Backoff backoff;
  private final List<Lane> lanes = new ArrayList<>();

  /// What a process before this one has left undone, until it is done.
  private List<JournalEntry> inherited = List.of();

  private Runnable inheritedDone = () -> {};

  /// Whether there was any. Set before there are queues.
  private boolean inherits;

  /// Connections that were there before it was.
  private final List<Held> held = new ArrayList<>();

  private boolean working;
  private boolean closed;
  private boolean stopping;
  private long connectedSinceNanos;

  /// How many lost connections' servers may still be at work, and how many of them before the dial
  /// that is under way: only what was made after a loss proves that the server is awake again.
  private int suspects;

  private int suspectsDialed;
  private long outageSinceNanos;
  private int outages;
  private long replays;
  private String lastFailure = "";
  private volatile State state = new State(0, 0, null, 0, 0);

  /// @param expected what the first connection found
  Reconnector(
      QueueLoop loop,
      Dialer dialer,
      WriteJournal journal,
      Fence fence,
      Negotiated expected,
      Policy policy,
      RandomGenerator random) {
    this.loop = loop;
    this.dialer = dialer;
    this.journal = journal;
    this.fence = fence;
    this.expected = expected;
    this.policy = policy;
    this.backoff = new Backoff(random);
  }

  /// Any thread may ask.
  State state() {
    return state;
  }

  QueueLoop loop() {
    return loop;
  }

  /// Begins with acknowledged writes that another process has left behind: they are done again, and
  /// flushed, before a connection is used for anything else. To be called before [#serve].
  ///
  /// @param entries not empty; in no order
  /// @param done told on the loop when they are durable
  void inherit(List<JournalEntry> entries, Runnable done) {
    inherits = true;
    inherited = List.copyOf(entries);
    inheritedDone = done;
  }

  /// Gives a queue its first connections. From every thread, in the order of the queues.
  void serve(NbdQueue queue, List<NbdConnection> connections) {
    if (inherits) {
      loop.execute(() -> serveAfterwards(new Lane(queue), connections));
      return;
    }
    loop.execute(() -> {
      Lane lane = new Lane(queue);
      lane.live.addAll(connections);
      lanes.add(lane);
    });
    for (NbdConnection connection : connections) {
      queue.loop().execute(() -> queue.adopt(connection));
    }
  }

  private void serveAfterwards(Lane lane, List<NbdConnection> connections) {
    lanes.add(lane);
    if (inherited.isEmpty()) {
      connections.forEach(connection -> use(lane, connection));
      return;
    }
    lane.missing += connections.size();
    for (NbdConnection connection : connections) {
      if (working) {
        held.add(new Held(lane, connection));
      } else {
        working = true;
        outageSinceNanos = loop.nanoTime();
        LOG.info("NBD: doing {} writes again that the old server may have lost", inherited.size());
        publish("writes that were not flushed are done again");
        restore(lane, connection);
      }
    }
  }

  private void use(Lane lane, NbdConnection connection) {
    lane.live.add(connection);
    lane.queue.loop().execute(() -> lane.queue.adopt(connection));
  }

  /// A queue has lost a connection. From the queue's loop.
  ///
  /// @param hadAnswered whether any request was answered on it
  void lost(int index, NbdConnection connection, Loss loss, boolean hadAnswered) {
    loop.execute(() -> onLost(lanes.get(index), connection, loss, hadAnswered));
  }

  /// There may be less to wait for: every queue looks again. From every thread.
  void wake() {
    loop.execute(() -> lanes.forEach(lane -> lane.queue.loop().execute(lane.queue::drain)));
  }

  /// The device will be stopped: nothing is worth a long wait any more. From every thread.
  void stopping() {
    loop.execute(() -> {
      stopping = true;
      for (Lane lane : lanes) {
        if (lane.live.isEmpty()) {
          giveUpLater(lane);
        }
      }
    });
  }

  /// The disk has another size by now: from now on only connections that have found it so are good.
  /// From every thread.
  ///
  /// @param exportBytes as the server says it
  /// @return those in use that are not, told on the loop
  CompletableFuture<List<NbdConnection>> resize(long exportBytes) {
    CompletableFuture<List<NbdConnection>> stale = new CompletableFuture<>();
    loop.execute(() -> {
      expected = expected.ofSize(exportBytes);
      stale.complete(
          lanes.stream()
              .flatMap(lane -> lane.live.stream())
              .filter(connection -> connection.negotiated().info().sizeBytes() != exportBytes)
              .toList());
    });
    return stale;
  }

  /// Dials no more. From every thread.
  void close() {
    loop.execute(() -> closed = true);
  }

  private void onLost(Lane lane, NbdConnection connection, Loss loss, boolean hadAnswered) {
    lane.live.remove(connection);
    lane.missing++;
    if (loss.ambiguous()) {
      suspects++;
    }
    if (closed) {
      return;
    }
    if (missing() == 1) {
      beginOutage(loss);
    }
    if (lane.live.isEmpty()) {
      // A server that takes connections and answers nothing is as good as none.
      if (hadAnswered || lane.losses == 0) {
        lane.lostSinceNanos = loop.nanoTime();
      }
      lane.losses++;
      giveUpLater(lane);
    }
    publish(String.valueOf(loss.why().getMessage()));
    if (!working) {
      redial();
    }
  }

  private void beginOutage(Loss loss) {
    long now = loop.nanoTime();
    backoff.lost(now - connectedSinceNanos >= STABLE.toNanos());
    outages++;
    outageSinceNanos = now;
    lastFailure = "";
    LOG.warn("{}: requests wait, reconnecting", loss.why().getMessage());
  }

  private void giveUpLater(Lane lane) {
    Duration patience = stopping ? STOPPING_PATIENCE : policy.lossTimeout();
    if (patience.isPositive()) {
      int number = lane.losses;
      Duration left =
          stopping ? patience : patience.minusNanos(loop.nanoTime() - lane.lostSinceNanos);
      loop.after(left.isNegative() ? Duration.ZERO : left, () -> giveUp(lane, number, patience));
    }
  }

  private void giveUp(Lane lane, int number, Duration patience) {
    if (lane.live.isEmpty() && lane.losses == number && !closed) {
      String why = "no connection to the NBD server for " + Durations.format(patience);
      LOG.error("{}: requests fail until there is one again ({})", why, state.why());
      IOException cause = new IOException(why + ": " + state.why());
      lane.queue.loop().execute(() -> lane.queue.giveUp(cause));
    }
  }

  private int missing() {
    int missing = 0;
    for (Lane lane : lanes) {
      missing += lane.missing;
    }
    return missing;
  }

  private @Nullable Lane survivor() {
    for (Lane lane : lanes) {
      if (!lane.live.isEmpty()) {
        return lane;
      }
    }
    return null;
  }

  private void redial() {
    working = true;
    Duration delay = backoff.next();
    if (delay.isZero()) {
      dial();
    } else {
      loop.after(delay, this::dial);
    }
  }

  private void dial() {
    suspectsDialed = suspects;
    for (int index = 0; index < lanes.size() && !closed; index++) {
      Lane lane = lanes.get(index);
      if (lane.missing > 0) {
        dialer.dial(
            index,
            connection -> loop.execute(() -> onDialed(lane, connection)),
            failure -> loop.execute(() -> onDialFailed(failure)));
        return;
      }
    }
    working = false;
  }

  private void onDialFailed(TargetOpenException failure) {
    note("cannot reconnect: " + failure.getMessage());
    tryAgain();
  }

  private void tryAgain() {
    if (closed) {
      working = false;
    } else {
      redial();
    }
  }

  /// Says what is wrong, once until it is something else.
  private void note(String failure) {
    publish(failure);
    if (!failure.equals(lastFailure)) {
      lastFailure = failure;
      LOG.warn("NBD: {}; trying again", failure);
    }
  }

  private void onDialed(Lane lane, NbdConnection connection) {
    Optional<String> difference = expected.differenceOf(connection.negotiated());
    if (closed || difference.isPresent()) {
      connection.close();
      if (difference.isPresent()) {
        note(
            "the server now offers another disk ("
                + difference.get()
                + "), which is not written to; requests wait");
      }
      tryAgain();
      return;
    }
    prove(lane, connection);
  }

  /// Makes sure that the new connection's server knows everything that was acknowledged.
  private void prove(Lane lane, NbdConnection connection) {
    Lane survivor = survivor();
    if (survivor == null) {
      restore(lane, connection);
      return;
    }
    Consumer<Boolean> answer =
        alive ->
            loop.execute(() -> {
              if (alive) {
                adopt(lane, connection);
              } else {
                prove(lane, connection);
              }
            });
    survivor.queue.loop().execute(() -> survivor.queue.probe(answer));
  }

  private void restore(Lane lane, NbdConnection connection) {
    if (!journal.hasUnflushed()) {
      adopt(lane, connection);
      return;
    }
    if (journal.mode() == WriteJournal.Mode.COUNT) {
      LOG.error(
          "NBD: the server was gone while acknowledged writes were not flushed, and no journal is"
              + " kept: they may be lost, the next flush will fail");
      journal.lost();
      adopt(lane, connection);
      return;
    }
    collect(
        0,
        new ArrayList<>(inherited),
        entries -> {
          replays += entries.size();
          long mark = journal.mark();
          Consumer<Result> end =
              result -> loop.execute(() -> onReplayed(lane, connection, mark, result));
          lane.queue.loop().execute(() -> lane.queue.replay(connection, entries, end));
        });
  }

  /// Asks queue by queue what they remember; none of them has a connection, so it stays so.
  private void collect(int index, List<JournalEntry> all, Consumer<List<JournalEntry>> end) {
    if (index == lanes.size()) {
      end.accept(all);
      return;
    }
    NbdQueue queue = lanes.get(index).queue;
    queue
        .loop()
        .execute(() -> {
          List<JournalEntry> unflushed = queue.unflushed();
          loop.execute(() -> {
            all.addAll(unflushed);
            collect(index + 1, all, end);
          });
        });
  }

  private void onReplayed(Lane lane, NbdConnection connection, long mark, Result result) {
    switch (result) {
      case LOST -> {
        // They may lead to a server that has lost something too.
        for (Held each : held) {
          each.lane.queue.loop().execute(each.connection::close);
        }
        held.clear();
        note("the connection was lost again while writes were done again");
        tryAgain();
      }
      case REFUSED -> {
        LOG.error("NBD: the server refused acknowledged writes that it had lost: flush will fail");
        journal.lost();
        endInheritance();
        adopt(lane, connection);
      }
      case DONE -> {
        if (!inherited.isEmpty()) {
          inheritedDone.run();
        }
        journal.flushed(mark);
        endInheritance();
        adopt(lane, connection);
      }
    }
  }

  private void endInheritance() {
    inherited = List.of();
    for (Held each : held) {
      each.lane.missing--;
      use(each.lane, each.connection);
    }
    held.clear();
  }

  private void adopt(Lane lane, NbdConnection connection) {
    lane.missing--;
    backoff.connected();
    for (; suspectsDialed > 0; suspectsDialed--) {
      suspects--;
      loop.after(policy.fenceTime(), fence::cleared);
    }
    use(lane, connection);
    if (missing() > 0) {
      redial();
      return;
    }
    working = false;
    connectedSinceNanos = loop.nanoTime();
    LOG.info(
        "NBD: connected again after {}",
        Durations.format(Duration.ofNanos(loop.nanoTime() - outageSinceNanos)));
    state = new State(0, 0, null, outages, replays);
  }

  private void publish(String why) {
    state = new State(missing(), outageSinceNanos, why, outages, replays);
  }
}
