package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_FLUSH;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_READ;

import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import io.ublkbridge.target.PayloadException;
import io.ublkbridge.target.TargetQueue;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// The lane of one ublk queue: turns requests into NBD commands and gives each to one of its
/// connections, all of which live on the queue's event loop.
///
/// A FLUSH goes to any one connection: it covers every write that was answered before it was sent,
/// whichever connection that came on, because more than one is only used where the server promises
/// just that (CAN_MULTI_CONN).
///
/// ```
/// submit ─→ may it be sent now? ─yes→ start ─→ reply ─→ journal ─→ complete / fail
///                 │ no                  ↑ in order       │ connection lost
///                 └────→ parked ────────┴──── in front ←─┘
/// ```
///
/// A request waits (is parked) while there is no connection, while its blocks are fenced, while the
/// write journal is full, and behind every other that waits. Confined to the queue's event loop,
/// except [#close] and what says otherwise.
final class NbdQueue implements TargetQueue, NbdConnection.Owner {
  private static final Logger LOG = LoggerFactory.getLogger(NbdQueue.class);

  /// The deadline watch looks so many times within one deadline: a request is overdue between one
  /// deadline and 1 + 1/8 of it.
  static final int TICKS_PER_DEADLINE = 8;

  /// After half a deadline without a word the server is asked for one.
  private static final int IDLE_TICKS = TICKS_PER_DEADLINE / 2;

  private static final long CLOSE_SECONDS = 5;

  /// A request that waits.
  ///
  /// @param order its place among the queue's requests
  /// @param inDoubt whether it was sent before, and its answer never came
  private record Parked(BlockRequest request, long order, boolean inDoubt) {}

  private final int index;
  private final QueueLoop loop;
  private final CommandRules rules;
  private final Fence fence;
  private final WriteJournal sharedJournal;
  private final QueueJournal journal;
  private final SendBuffers buffers;
  private final LossListener lossListener;
  private final TurnEnd turnEnd;
  private final Duration tickPeriod;
  private final List<NbdConnection> connections = new ArrayList<>();
  private ArrayDeque<Parked> parked = new ArrayDeque<>();

  private long requests;
  private int inDoubt;
  private boolean flushDue;
  private boolean journalFlushing;
  private boolean draining;
  private boolean closed;

  /// Why requests fail instead of waiting for a connection.
  private @Nullable IOException gaveUp;

  /// Told when a connection is gone, on the queue's event loop.
  @FunctionalInterface
  interface LossListener {
    void lost(int queue, NbdConnection connection, Loss loss, boolean hadAnswered);
  }

  /// What queues of one target share.
  ///
  /// @param deadline how long a request may stay unanswered
  record Shared(
      CommandRules rules,
      Fence fence,
      WriteJournal journal,
      LossListener lossListener,
      Duration deadline) {}

  NbdQueue(int index, QueueLoop loop, SendBuffers buffers, Shared shared) {
    this.index = index;
    this.loop = loop;
    this.buffers = buffers;
    this.rules = shared.rules();
    this.fence = shared.fence();
    this.sharedJournal = shared.journal();
    this.journal = new QueueJournal(shared.journal(), buffers);
    this.lossListener = shared.lossListener();
    this.turnEnd = loop.turnEnd(this::flush);
    this.tickPeriod =
        Duration.ofNanos(Math.max(1, shared.deadline().toNanos() / TICKS_PER_DEADLINE));
    loop.after(tickPeriod, this::tick);
  }

  /// Takes a connection into use, and sends what waits.
  void adopt(NbdConnection connection) {
    if (closed) {
      connection.close();
      return;
    }
    gaveUp = null;
    connections.add(connection);
    connection.ownedBy(this, buffers);
    drain();
  }

  @Override
  public void submit(BlockRequest request) {
    IoError refusal = rules.refusal(request);
    if (refusal != null) {
      request.fail(refusal, null);
    } else if (request.operation() == Operation.FLUSH && isDoneAlready(request)) {
      return;
    } else if (parked.isEmpty() && maySend(request)) {
      start(request, requests++, false);
    } else if (connections.isEmpty() && gaveUp != null) {
      request.fail(IoError.UNREACHABLE, gaveUp);
    } else {
      parked.add(new Parked(request, requests++, false));
    }
  }

  /// Whether a FLUSH needs no server, and was ended.
  private boolean isDoneAlready(BlockRequest flush) {
    if (sharedJournal.takeLoss()) {
      flush.fail(IoError.IO, new IOException(sharedJournal.loss()));
      return true;
    }
    boolean nothingToDo =
        !rules.serverFlushes()
            || (connections.isEmpty() && parked.isEmpty() && !sharedJournal.hasUnflushed());
    if (nothingToDo) {
      flush.complete();
    }
    return nothingToDo;
  }

  private boolean maySend(BlockRequest request) {
    if (connections.isEmpty()) {
      return false;
    }
    return !request.operation().modifies()
        || (!fence.holds(request.offsetBytes(), request.lengthBytes()) && journal.hasRoom());
  }

  private void start(BlockRequest request, long order, boolean again) {
    Operation operation = request.operation();
    int type = CommandRules.type(operation);
    int flags = rules.flags(request);
    NbdConnection connection = leastBusy();
    JournalEntry entry = operation.modifies() ? journal.begin(request, type, flags) : null;
    PendingCommand command = null;
    try {
      command = connection.start(request, type, flags, entry);
    } finally {
      if (command == null) {
        journal.dropped(entry);
      }
    }
    if (command == null) {
      request.fail(IoError.IO, null);
      return;
    }
    command.queued(order, again);
    if (type == NBD_CMD_FLUSH) {
      command.covers(journal.mark());
    }
    flushSoon(connection);
    if (entry != null && journal.flushDue()) {
      flushJournal();
    }
  }

  private void flushSoon(NbdConnection connection) {
    if (connection.inFlight() == 1) {
      // Nobody to wait for.
      connection.flush();
    } else if (!flushDue) {
      flushDue = turnEnd.arm();
      if (!flushDue) {
        flush();
      }
    }
  }

  private NbdConnection leastBusy() {
    NbdConnection least = connections.getFirst();
    for (int i = 1; i < connections.size(); i++) {
      NbdConnection other = connections.get(i);
      if (other.inFlight() < least.inFlight()) {
        least = other;
      }
    }
    return least;
  }

  private void flush() {
    flushDue = false;
    for (int i = 0; i < connections.size(); i++) {
      connections.get(i).flush();
    }
  }

  /// Makes acknowledged writes durable before somebody asks for it, so that the journal never
  /// fills.
  private void flushJournal() {
    if (journalFlushing || connections.isEmpty()) {
      return;
    }
    journalFlushing = true;
    OwnRequest flush =
        OwnRequest.flush(error -> {
          journalFlushing = false;
          noteFlushError(error);
          drain();
        });
    send(leastBusy(), flush, NBD_CMD_FLUSH);
  }

  /// A FLUSH of our own that failed must be reported to whoever flushes next.
  private void noteFlushError(@Nullable IoError error) {
    if (error != null && error != IoError.UNREACHABLE) {
      LOG.error("NBD: the server cannot flush ({}): the next flush will fail", error);
      sharedJournal.lost();
      journal.trim();
    }
  }

  private void send(NbdConnection connection, OwnRequest request, int type) {
    PendingCommand command = connection.start(request, type, 0, null);
    if (command == null) {
      request.fail(IoError.IO, null);
      return;
    }
    command.queued(requests++, false);
    if (type == NBD_CMD_FLUSH) {
      command.covers(journal.mark());
    }
    flushSoon(connection);
  }

  /// Finds out whether the server behind one of the connections is alive now. To be called on the
  /// loop.
  ///
  /// @param alive told on the loop
  void probe(Consumer<Boolean> alive) {
    if (connections.isEmpty()) {
      alive.accept(false);
      return;
    }
    Consumer<@Nullable IoError> end =
        error -> {
          noteFlushError(rules.serverFlushes() ? error : null);
          alive.accept(error != IoError.UNREACHABLE);
        };
    if (rules.serverFlushes()) {
      send(leastBusy(), OwnRequest.flush(end), NBD_CMD_FLUSH);
    } else {
      send(leastBusy(), OwnRequest.probe(rules.blockBytes(), end), NBD_CMD_READ);
    }
  }

  @Override
  public void acknowledged(PendingCommand command) {
    if (command.type() == NBD_CMD_FLUSH) {
      journal.flushed(command.journalMark());
    } else if (command.type() != NBD_CMD_READ) {
      journal.acknowledged(command.journalEntry());
    }
    settle(command.inDoubt());
    goOn();
  }

  @Override
  public void refused(PendingCommand command) {
    journal.dropped(command.journalEntry());
    settle(command.inDoubt());
    goOn();
  }

  /// What waits may wait for the journal.
  private void goOn() {
    if (!parked.isEmpty()) {
      if (journal.flushDue()) {
        flushJournal();
      }
      drain();
    }
  }

  private void makeRoom() {
    if (!journal.isEmpty() && !journal.hasRoom()) {
      flushJournal();
    }
  }

  private void settle(boolean wasInDoubt) {
    if (wasInDoubt && --inDoubt == 0) {
      fence.settled(index);
    }
  }

  @Override
  public void lost(NbdConnection connection, Loss loss) {
    connections.remove(connection);
    if (closed) {
      return;
    }
    if (loss.ambiguous()) {
      fence.suspect();
    }
    List<OwnRequest> own = takeBack(connection, loss.ambiguous());
    lossListener.lost(index, connection, loss, connection.hasAnswered());
    for (OwnRequest request : own) {
      request.fail(IoError.UNREACHABLE, loss.why());
    }
    drain();
  }

  /// Parks what was under way on a connection, in front of what is new.
  ///
  /// @return what must not be sent again
  private List<OwnRequest> takeBack(NbdConnection connection, boolean ambiguous) {
    List<OwnRequest> own = new ArrayList<>();
    List<Parked> doubtful = new ArrayList<>();
    for (PendingCommand command : connection.takePending()) {
      journal.dropped(command.journalEntry());
      long order = command.order();
      boolean again = command.inDoubt();
      BlockRequest request = connection.end(command);
      if (request instanceof OwnRequest ownRequest) {
        own.add(ownRequest);
        continue;
      }
      if (!again) {
        inDoubt++;
      }
      doubtful.add(new Parked(request, order, true));
      if (request.operation().modifies()) {
        fence.raise(index, request.offsetBytes(), request.lengthBytes(), ambiguous);
      }
    }
    while (!parked.isEmpty() && parked.getFirst().inDoubt()) {
      doubtful.add(parked.removeFirst());
    }
    doubtful.sort(Comparator.comparingLong(Parked::order).reversed());
    doubtful.forEach(parked::addFirst);
    return own;
  }

  /// Sends what waits, as far as it may be sent now. To be called on the loop.
  void drain() {
    if (draining) {
      return;
    }
    draining = true;
    try {
      while (!parked.isEmpty() && !connections.isEmpty()) {
        Parked next = parked.getFirst();
        if (!mayResume(next)) {
          makeRoom();
          break;
        }
        parked.removeFirst();
        resume(next);
      }
    } finally {
      draining = false;
    }
  }

  /// What is in doubt passes every fence, but its payload too needs its place.
  private boolean mayResume(Parked waiting) {
    BlockRequest request = waiting.request();
    return waiting.inDoubt()
        ? !request.operation().modifies() || journal.hasRoom()
        : maySend(request);
  }

  private void resume(Parked waiting) {
    BlockRequest request = waiting.request();
    if (request.operation() == Operation.FLUSH && sharedJournal.takeLoss()) {
      settle(waiting.inDoubt());
      request.fail(IoError.IO, new IOException(sharedJournal.loss()));
      return;
    }
    try {
      start(request, waiting.order(), waiting.inDoubt());
    } catch (PayloadException e) {
      settle(waiting.inDoubt());
      request.fail(IoError.IO, e);
    }
  }

  /// Ends the waiting for a connection, until there is one again: everything that waits fails, and
  /// everything new. To be called on the loop.
  void giveUp(IOException why) {
    if (!connections.isEmpty() || closed) {
      return;
    }
    gaveUp = why;
    ArrayDeque<Parked> waiting = parked;
    parked = new ArrayDeque<>();
    for (Parked each : waiting) {
      settle(each.inDoubt());
      each.request().fail(IoError.UNREACHABLE, why);
    }
  }

  private void tick() {
    if (closed) {
      return;
    }
    journal.trim();
    buffers.giveBackSpare();
    for (NbdConnection connection : List.copyOf(connections)) {
      connection.tick(TICKS_PER_DEADLINE);
      if (connections.contains(connection) && connection.idleTicks() >= IDLE_TICKS) {
        send(connection, OwnRequest.probe(rules.blockBytes(), _ -> {}), NBD_CMD_READ);
      }
    }
    drain();
    loop.after(tickPeriod, this::tick);
  }

  QueueLoop loop() {
    return loop;
  }

  /// Does acknowledged writes again on a connection that is not in use yet. To be called on the
  /// loop.
  ///
  /// @param end told on the loop
  void replay(
      NbdConnection connection, List<JournalEntry> entries, Consumer<JournalReplay.Result> end) {
    new JournalReplay(connection, entries, end).start(buffers);
  }

  /// The journal's content; only while every queue of the target is without a connection.
  List<JournalEntry> unflushed() {
    return journal.unflushed();
  }

  /// How many requests wait, roughly; from every thread.
  int parkedRequests() {
    return parked.size();
  }

  /// How many acknowledged writes are not flushed, roughly; from every thread.
  int unflushedWrites() {
    return journal.unflushedWrites();
  }

  /// From every thread; everything has ended.
  @Override
  public void close() {
    CompletableFuture<List<NbdConnection>> last = new CompletableFuture<>();
    loop.execute(() -> {
      closed = true;
      last.complete(List.copyOf(connections));
    });
    last.completeOnTimeout(List.of(), CLOSE_SECONDS, TimeUnit.SECONDS)
        .join()
        .forEach(NbdConnection::close);
    turnEnd.close();
    loop.execute(buffers::close);
  }
}
