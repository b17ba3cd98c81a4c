package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.NbdProtocol.NBD_FLAG_READ_ONLY;
import static io.ublkbridge.nbd.NbdProtocol.NBD_FLAG_SEND_FLUSH;

import io.netty.buffer.PooledByteBufAllocator;
import io.netty.channel.IoEventLoop;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.Outage;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.Succession;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import io.ublkbridge.target.TargetQueue;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;
import java.util.function.ToIntFunction;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// One export of an NBD server.
///
/// The first connection is made when the target is opened, on the loop of queue 0, and becomes that
/// queue's. More than one connection is used only where the server declares CAN_MULTI_CONN, and
/// each must find exactly the export that the first one found.
///
/// Called from control threads.
final class NbdTarget implements BlockTarget {
  private static final Logger LOG = LoggerFactory.getLogger(NbdTarget.class);

  /// How many queues, and so connections, are offered when nobody says how many.
  private static final int QUEUES_DEFAULT = 4;

  /// How long one attempt to reconnect may take.
  private static final Duration REDIAL_TIMEOUT = Duration.ofSeconds(10);

  /// How long a server that went silent may take to finish what it was sent, once it answers again.
  private static final Duration FENCE_TIME = Duration.ofSeconds(5);

  private final NbdDialer dialer;
  private final NbdOptions options;
  private final Negotiated negotiated;
  private final CommandRules rules;
  private volatile Geometry geometry;

  /// What [#presentSize] has found last, as the server says it.
  private volatile long presentBytes;

  private final Capabilities capabilities;
  private final WriteJournal journal;
  private final Reconnector reconnector;
  private final NbdQueue.Shared shared;
  private final List<IoEventLoop> loops = new CopyOnWriteArrayList<>();
  private final List<NbdQueue> queues = new CopyOnWriteArrayList<>();
  private final @Nullable TlsFacts tls;

  /// Where the journal is, if it outlives this process. Set by the first queue.
  private @Nullable JournalFile journalFile;

  /// The first connection while no queue has taken it. Guarded by this.
  private @Nullable NbdConnection first;

  /// @param loop of queue 0
  /// @param first belongs to this once the constructor returns
  NbdTarget(NbdDialer dialer, NbdOptions options, IoEventLoop loop, NbdConnection first)
      throws TargetOpenException {
    this.dialer = dialer;
    this.options = options;
    this.first = first;
    this.negotiated = first.negotiated();
    this.tls = first.tls();
    ExportInfo info = negotiated.info();
    this.geometry = info.geometry();
    this.capabilities =
        info.capabilities(info.multiConn() ? options.connections().orElse(QUEUES_DEFAULT) : 1);
    this.journal = journal(info);
    Fence fence = new Fence(this::wake);
    this.reconnector =
        new Reconnector(
            new UringQueueLoop(loop),
            this::redial,
            journal,
            fence,
            negotiated,
            new Reconnector.Policy(options.lossTimeout(), FENCE_TIME),
            new SplittableRandom());
    this.rules = new CommandRules(geometry, info);
    this.presentBytes = info.sizeBytes();
    this.shared =
        new NbdQueue.Shared(rules, fence, journal, reconnector::lost, options.ioTimeout());
    warn(info);
  }

  private WriteJournal journal(ExportInfo info) {
    if (options.readOnly() || info.has(NBD_FLAG_READ_ONLY) || !info.has(NBD_FLAG_SEND_FLUSH)) {
      return new WriteJournal(WriteJournal.Mode.NONE, 0);
    }
    long bytes = options.writeJournalBytes() / capabilities.queues();
    return new WriteJournal(bytes > 0 ? WriteJournal.Mode.KEEP : WriteJournal.Mode.COUNT, bytes);
  }

  private void wake() {
    reconnector.wake();
  }

  private void warn(ExportInfo info) {
    long tailBytes = info.sizeBytes() - geometry.sizeBytes();
    if (tailBytes > 0) {
      LOG.warn(
          "NBD export at {}: its last {} bytes are less than a block and cannot be reached",
          dialer.uri().endpoint(),
          tailBytes);
    }
    if (!info.has(NBD_FLAG_SEND_FLUSH) && !info.has(NBD_FLAG_READ_ONLY)) {
      LOG.warn(
          "NBD export at {}: the server offers no FLUSH, so a write counts as durable as soon as it"
              + " is answered (nbd-server: set flush=true)",
          dialer.uri().endpoint());
    }
    if (tls != null && !tls.peerVerified()) {
      LOG.warn(
          "NBD export at {}: who the server is was not verified, as tls-verify-peer=0 demands:"
              + " anybody in the middle can read and change what is on the disk",
          dialer.uri().endpoint());
    }
    if (!info.multiConn() && options.connections().orElse(1) > 1) {
      LOG.warn(
          "NBD export at {}: one connection is used, as the server does not declare that several"
              + " are safe",
          dialer.uri().endpoint());
    }
  }

  @Override
  public Geometry geometry() {
    return geometry;
  }

  @Override
  public Capabilities capabilities() {
    return capabilities;
  }

  @Override
  public Map<String, Object> details() {
    ExportInfo info = negotiated.info();
    Map<String, Object> details = new LinkedHashMap<>();
    details.put("server", dialer.uri().endpoint().toString());
    details.put("export", negotiated.name());
    if (!negotiated.description().isEmpty()) {
      details.put("description", negotiated.description());
    }
    details.put("structuredReplies", info.headers().structuredReplies());
    details.put("extendedHeaders", info.headers().extendedHeaders());
    details.put("multiConn", info.multiConn());
    details.put("connections", (long) capabilities.queues());
    details.put("minimumBlockBytes", info.blockSizes().minimum());
    details.put("preferredBlockBytes", info.blockSizes().preferred());
    details.put("maximumPayloadBytes", info.blockSizes().maximum());
    details.put("tls", tls != null);
    if (tls != null) {
      details.putAll(tls.details());
    }
    details.put("unflushedWrites", sum(NbdQueue::unflushedWrites));
    details.put("reconnects", (long) reconnector.state().reconnects());
    details.put("writesDoneAgain", reconnector.state().replays());
    return details;
  }

  /// What the server has acknowledged it keeps without us; and if it crashes too before the next
  /// FLUSH, the journal's file has it ([JournalSuccession]). What was sent and not read yet, it may
  /// still read: the connections of a dead process are reset, but that comes behind.
  @Override
  public Optional<Succession> succession() {
    return Optional.of(new Succession(negotiated.identity(), FENCE_TIME));
  }

  /// Asks on a connection of its own, since a server tells its size only at the beginning of one.
  @Override
  public long presentSize(Duration timeout) throws TargetOpenException {
    NbdConnection asking = dialer.within(timeout).dial(loops.getFirst(), Purpose.USE);
    try {
      ExportInfo now = asking.negotiated().info();
      Optional<String> difference =
          negotiated.ofSize(now.sizeBytes()).differenceOf(asking.negotiated());
      if (difference.isPresent()) {
        throw new TargetOpenException(
            Reason.FAILED, "the server now offers another disk: " + difference.get(), null);
      }
      presentBytes = now.sizeBytes();
      return now.geometry().sizeBytes();
    } finally {
      asking.close();
    }
  }

  @Override
  public void resize(long sizeBytes) {
    geometry = geometry.ofSize(sizeBytes);
    rules.resize(sizeBytes);
    List<NbdConnection> stale = reconnector.resize(presentBytes).join();
    if (outage().isEmpty()) {
      // Nothing is under way, so a farewell leaves nothing in doubt; each is then dialled anew.
      stale.forEach(NbdConnection::close);
      queues.forEach(queue -> CompletableFuture.runAsync(() -> {}, queue.loop()::execute).join());
    }
  }

  @Override
  public Optional<Outage> outage() {
    Reconnector.State state = reconnector.state();
    String why = state.why();
    if (why == null) {
      return Optional.empty();
    }
    long nanos = reconnector.loop().nanoTime() - state.lostSinceNanos();
    return Optional.of(
        new Outage(
            why,
            Duration.ofNanos(nanos),
            sum(NbdQueue::parkedRequests),
            sum(NbdQueue::unflushedWrites)));
  }

  private long sum(ToIntFunction<NbdQueue> counter) {
    return queues.stream().mapToInt(counter).sum();
  }

  @Override
  public TargetQueue openQueue(QueueContext context) throws TargetOpenException {
    if (context.index() == 0) {
      journalFile = beginJournal(context);
    }
    List<NbdConnection> connections = new ArrayList<>();
    try {
      int count = connectionsOf(context);
      while (connections.size() < count) {
        connections.add(connection(context));
      }
    } catch (TargetOpenException e) {
      connections.forEach(NbdConnection::close);
      throw e;
    }
    JournalFile file = journalFile;
    JournalPart part = file == null ? null : file.part(context.index(), slotsAtOnce(context));
    NbdQueue queue =
        new NbdQueue(
            context.index(),
            new UringQueueLoop(context.eventLoop()),
            new SendBuffers(PooledByteBufAllocator.DEFAULT, SendBuffers.BUFFER_BYTES, part),
            shared);
    loops.add(context.eventLoop());
    queues.add(queue);
    reconnector.serve(queue, connections);
    return queue;
  }

  private @Nullable JournalFile beginJournal(QueueContext context) throws TargetOpenException {
    if (journal.mode() != WriteJournal.Mode.KEEP || context.successionFile().isEmpty()) {
      return null;
    }
    int slotsAtOnce = slotsAtOnce(context);
    JournalLayout layout =
        JournalLayout.of(
            context.count(),
            journal.bytesMax(),
            context.maxIoBytes() + NbdProtocol.EXTENDED_REQUEST_BYTES,
            slotsAtOnce - 1);
    return JournalSuccession.begin(
        context.successionFile().get(),
        journal,
        reconnector,
        negotiated.identity(),
        layout,
        slotsAtOnce);
  }

  /// Each connection of a queue may fill one, and one more must be free for the next write.
  private int slotsAtOnce(QueueContext context) {
    int all = negotiated.info().multiConn() ? options.connections().orElse(context.count()) : 1;
    return Math.ceilDiv(all, context.count()) + 1;
  }

  /// Makes one connection again, on a thread of its own since that blocks.
  private void redial(
      int queue, Consumer<NbdConnection> made, Consumer<TargetOpenException> failed) {
    Runnable attempt =
        () -> {
          try {
            made.accept(dialer.within(REDIAL_TIMEOUT).dial(loops.get(queue), Purpose.USE));
          } catch (TargetOpenException e) {
            failed.accept(e);
          } catch (RuntimeException e) {
            failed.accept(new TargetOpenException(Reason.FAILED, "cannot connect: " + e, null, e));
          }
        };
    Thread.ofPlatform().daemon().name("nbd-reconnect").start(attempt);
  }

  @Override
  public void stopping() {
    reconnector.stopping();
  }

  /// How many connections a queue gets: one, or its share of those that were asked for.
  private int connectionsOf(QueueContext context) {
    if (!negotiated.info().multiConn()) {
      return 1;
    }
    int all = options.connections().orElse(context.count());
    int share = all / context.count() + (context.index() < all % context.count() ? 1 : 0);
    return Math.max(1, share);
  }

  private NbdConnection connection(QueueContext context) throws TargetOpenException {
    NbdConnection kept = context.index() == 0 ? takeFirst() : null;
    if (kept != null) {
      if (kept.isOpen() && kept.isOn(context.eventLoop())) {
        return kept;
      }
      kept.close();
    }
    NbdConnection made = dialer.dial(context.eventLoop(), Purpose.USE);
    Optional<String> difference = negotiated.differenceOf(made.negotiated());
    if (difference.isPresent()) {
      made.close();
      throw new TargetOpenException(
          Reason.FAILED,
          "the server describes the export differently on another connection: " + difference.get(),
          "was the export replaced just now? try again");
    }
    return made;
  }

  @Override
  public void close() {
    reconnector.close();
    NbdConnection kept = takeFirst();
    if (kept != null) {
      kept.close();
    }
    if (journalFile != null) {
      journalFile.close();
    }
  }

  private synchronized @Nullable NbdConnection takeFirst() {
    NbdConnection taken = first;
    first = null;
    return taken;
  }
}
