package io.ublkbridge.s3;

import io.netty.channel.EventLoop;
import io.netty.util.concurrent.ScheduledFuture;
import io.ublkbridge.s3.StoreException.Kind;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.NavigableSet;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;

/// A store whose failures are met with patience: the one place that retries, hedges and gives up.
///
/// ```
/// get ─→ waiting ─→ attempt ─────────────────→ success
///        (too many   │  └─ slow → a second one, the first answer counts
///         under way) └─ failed → backoff → waiting …
/// ```
///
/// - Who waits goes in the order of asking, those that nobody waits for yet behind the others.
/// - How many are under way follows what the store can do ([ConcurrencyLimit]).
/// - An attempt that is silent for too long is given up ([SilenceWatch]), and so is one that brings
///   less than an eighth within the I/O timeout. It counts as failed.
/// - What may pass (no connection, 5xx, 429, an answer that is not whole) is tried again, later
///   each time, at a random moment. The rest is reported at once.
/// - While nothing succeeds at all, requests wait for the loss timeout and fail then; afterwards
///   each new one has one attempt, until one succeeds.
/// - While others succeed, a request has the I/O timeout from its first failure on; the loss
///   timeout where the store is only too slow, since it may be so for all.
/// - A GET that is slow among its kind is sent a second time, for at most one in twenty; unless it
///   is this thread that is late, and may have the answer before it.
///
/// Both attempts bring their bytes to the same place: they are given the same ones, and the loser
/// is stopped before the winner is told. Confined to the event loop, except where it says
/// otherwise.
final class RetryingObjectStore implements ObjectStore {
  private static final Duration BACKOFF = Duration.ofMillis(50);
  private static final Duration THROTTLED_BACKOFF = Duration.ofMillis(400);
  private static final Duration BACKOFF_MAX = Duration.ofSeconds(5);
  private static final int DOUBLINGS_MAX = 10;

  /// How long requests may still take once the device is to be stopped.
  private static final Duration STOPPING_PATIENCE = Duration.ofSeconds(3);

  /// A hedge costs what so many first attempts earn.
  private static final int GETS_PER_HEDGE = 20;

  private static final int HEDGES_SAVED_MAX = 10;

  /// In so many I/O timeouts the slowest answer is whole.
  private static final int SLOWEST_PARTS = 8;

  /// @param ioTimeout how long an attempt may take that brings little or nothing
  /// @param lossTimeout how long requests wait while nothing succeeds; zero for ever
  /// @param concurrency how many requests are under way at once at most; hedges come on top
  record Policy(Duration ioTimeout, Duration lossTimeout, int concurrency) {
    /// The most GETs that are under way at once.
    int getsMax() {
      return concurrency + hedgesMax();
    }

    private int hedgesMax() {
      return Math.max(1, concurrency / 4);
    }
  }

  private final EventLoop loop;
  private final ObjectStore store;
  private final Policy policy;
  private final StoreCounters counters;
  private final RandomGenerator random;
  private final StoreHealth health;
  private final LatencyEstimate latency = new LatencyEstimate();
  private final Set<Fetch> live = new LinkedHashSet<>();
  private final NavigableSet<Fetch> waiting =
      new TreeSet<>(Comparator.comparingLong(fetch -> fetch.number));
  private final ConcurrencyLimit limit;
  private long fetches;
  private int running;
  private int hedgesRunning;
  private int earned;
  private boolean stopping;

  /// @param store sends each request once; closed with this
  RetryingObjectStore(
      EventLoop loop,
      ObjectStore store,
      Policy policy,
      StoreCounters counters,
      RandomGenerator random) {
    this.loop = loop;
    this.store = store;
    this.policy = policy;
    this.counters = counters;
    this.random = random;
    this.limit = new ConcurrencyLimit(policy.concurrency());
    this.health = new StoreHealth(loop, policy.lossTimeout(), this::giveUpAll);
  }

  @Override
  public Call get(ObjectVersion object, long offsetBytes, Destination into, End end) {
    Fetch fetch = new Fetch(object, offsetBytes, into, end);
    live.add(fetch);
    if (running < limit.now()) {
      fetch.attempt();
    } else {
      waiting.add(fetch);
    }
    return fetch;
  }

  @Override
  public CompletionStage<ObjectVersion> look(String key, @Nullable String versionId) {
    return store.look(key, versionId);
  }

  /// Ends the patience: what may not succeed soon fails soon.
  void stopping() {
    stopping = true;
    for (Fetch fetch : List.copyOf(live)) {
      fetch.stopWaiting();
    }
    var _ = after(STOPPING_PATIENCE.toNanos(), this::giveUpAll);
  }

  private void giveUpAll() {
    List<Fetch> all = new ArrayList<>(live);
    live.clear();
    waiting.clear();
    for (Fetch fetch : all) {
      fetch.leave();
    }
    for (Fetch fetch : all) {
      fetch.end.ended(fetch.surrender());
    }
  }

  private void startNext() {
    while (running < limit.now() && !waiting.isEmpty()) {
      Fetch next = next();
      waiting.remove(next);
      next.attempt();
    }
  }

  private Fetch next() {
    for (Fetch fetch : waiting) {
      if (!fetch.end.background()) {
        return fetch;
      }
    }
    return waiting.first();
  }

  /// What is wrong with the store; null if nothing is. From every thread.
  StoreHealth.@Nullable State trouble() {
    return health.state();
  }

  /// Whether the store gave an answer at or after this time on the loop's clock. From every thread.
  boolean answeredSince(long nanos) {
    return health.answeredSince(nanos);
  }

  /// How many requests have not ended, roughly. From every thread.
  int unended() {
    return live.size();
  }

  @Override
  public void close() {
    loop.execute(health::close);
    store.close();
  }

  private ScheduledFuture<?> after(long nanos, Runnable action) {
    return loop.schedule(action, nanos, TimeUnit.NANOSECONDS);
  }

  private static void stop(@Nullable ScheduledFuture<?> timer) {
    if (timer != null) {
      timer.cancel(false);
    }
  }

  /// Whether the store works, but not as fast as it is asked.
  private static boolean tooSlow(Kind kind) {
    return kind == Kind.TIMED_OUT || kind == Kind.THROTTLED;
  }

  private void overdue(@Nullable Attempt attempt) {
    if (attempt != null) {
      limit.overloaded(attempt.startNanos, running, loop.ticker().nanoTime());
    }
  }

  private static long bytesOf(@Nullable Attempt attempt) {
    return attempt == null ? 0 : attempt.receivedBytes();
  }

  /// How long one request may fail while others succeed.
  private long patienceNanos(Kind kind) {
    long ioNanos = policy.ioTimeout().toNanos();
    if (!tooSlow(kind)) {
      return ioNanos;
    }
    return policy.lossTimeout().isZero()
        ? Long.MAX_VALUE
        : Math.max(ioNanos, policy.lossTimeout().toNanos());
  }

  private long backoffNanos(int failures, Kind kind) {
    Duration first = kind == Kind.THROTTLED ? THROTTLED_BACKOFF : BACKOFF;
    long longest =
        Math.min(BACKOFF_MAX.toNanos(), first.toNanos() << Math.min(DOUBLINGS_MAX, failures - 1));
    return random.nextLong(longest / 2, longest + 1);
  }

  /// One request of a caller's.
  private final class Fetch implements Call {
    private final ObjectVersion object;
    private final long offsetBytes;
    private final Destination into;
    private final End end;
    private final long number = fetches++;

    /// Whether it counts as under way: from an attempt's beginning to its end.
    private boolean sent;

    private @Nullable Attempt first;
    private @Nullable Attempt second;
    private @Nullable ScheduledFuture<?> deadline;
    private @Nullable ScheduledFuture<?> nextStep;
    private long receivedBefore;
    private int failures;
    private int silences;
    private long failingSinceNanos;
    private @Nullable StoreException failure;

    Fetch(ObjectVersion object, long offsetBytes, Destination into, End end) {
      this.object = object;
      this.offsetBytes = offsetBytes;
      this.into = into;
      this.end = end;
    }

    void attempt() {
      sent = true;
      running++;
      if (failures > 0) {
        counters.retried();
      }
      earned = Math.min(HEDGES_SAVED_MAX * GETS_PER_HEDGE, earned + 1);
      receivedBefore = 0;
      deadline = after(policy.ioTimeout().toNanos(), this::expire);
      hedgeLater();
      Attempt attempt = new Attempt(this);
      first = attempt;
      attempt.send();
    }

    private void hedgeLater() {
      long waitNanos = latency.slowAfterNanos(into.lengthBytes());
      long dueNanos = loop.ticker().nanoTime() + waitNanos;
      nextStep = after(waitNanos, () -> hedge(dueNanos, waitNanos));
    }

    private void hedge(long dueNanos, long waitNanos) {
      if (loop.ticker().nanoTime() - dueNanos >= waitNanos) {
        hedgeLater();
        return;
      }
      if (earned < GETS_PER_HEDGE || hedgesRunning >= policy.hedgesMax() || limit.lowered()) {
        return;
      }
      earned -= GETS_PER_HEDGE;
      hedgesRunning++;
      counters.hedged();
      Attempt attempt = new Attempt(this);
      second = attempt;
      attempt.send();
    }

    private void expire() {
      long received = Math.max(bytesOf(first), bytesOf(second));
      if (received - receivedBefore >= Math.max(1, into.lengthBytes() / SLOWEST_PARTS)) {
        receivedBefore = received;
        deadline = after(policy.ioTimeout().toNanos(), this::expire);
        return;
      }
      overdue(first);
      failed(
          new StoreException(
              Kind.TIMED_OUT, "no answer within " + policy.ioTimeout().toSeconds() + " s"));
    }

    void ended(Attempt attempt, @Nullable StoreException why) {
      boolean hedge = attempt == second;
      if (hedge) {
        second = null;
        hedgesRunning--;
      } else {
        first = null;
      }
      if (why == null) {
        latency.record(into.lengthBytes(), loop.ticker().nanoTime() - attempt.startNanos);
        limit.succeeded();
        health.succeeded();
        if (hedge) {
          counters.hedgeWon();
        }
        finish(null);
        return;
      }
      if (why.kind() == Kind.THROTTLED) {
        counters.throttled();
      }
      if (why.kind() == Kind.TIMED_OUT) {
        overdue(attempt);
      }
      if (!why.kind().passing()) {
        health.succeeded();
        finish(why);
      } else if (first == null && second == null) {
        failed(why);
      }
    }

    private void failed(StoreException why) {
      stopAttempts();
      passOn();
      failure = why;
      long now = loop.ticker().nanoTime();
      if (failures++ == 0) {
        failingSinceNanos = now;
      }
      if (why.kind() == Kind.TIMED_OUT) {
        silences++;
      }
      health.failed(why);
      if (stopping || health.gaveUp()) {
        finish(surrender());
      } else if (health.answeredSince(failingSinceNanos)
          && now - failingSinceNanos >= patienceNanos(why.kind())) {
        finish(
            new StoreException(
                Kind.TIMED_OUT,
                failures
                    + " attempts in "
                    + TimeUnit.NANOSECONDS.toSeconds(now - failingSinceNanos)
                    + " s, the last: "
                    + why.message()));
      } else {
        nextStep = after(backoffNanos(failures, why.kind()), this::waitForTurn);
        startNext();
      }
    }

    private void waitForTurn() {
      waiting.add(this);
      startNext();
    }

    /// Makes room for another.
    private void passOn() {
      if (sent) {
        sent = false;
        running--;
      }
    }

    /// Ends what only waits for its turn or its next attempt, if it has failed before.
    void stopWaiting() {
      if (failure != null && first == null && second == null) {
        finish(surrender());
      }
    }

    private void finish(@Nullable StoreException why) {
      if (live.remove(this)) {
        leave();
        startNext();
        end.ended(why);
      }
    }

    void leave() {
      stopAttempts();
      passOn();
      waiting.remove(this);
    }

    private void stopAttempts() {
      stop(deadline);
      stop(nextStep);
      if (first != null) {
        first.cancel();
        first = null;
      }
      if (second != null) {
        second.cancel();
        second = null;
        hedgesRunning--;
      }
    }

    StoreException surrender() {
      return new StoreException(
          Kind.UNREACHABLE, failure == null ? "the store gave no answers" : failure.message());
    }

    @Override
    public void cancel() {
      if (live.remove(this)) {
        leave();
        startNext();
      }
    }
  }

  /// One GET.
  private final class Attempt implements End {
    private final Fetch fetch;
    private final long startNanos = loop.ticker().nanoTime();
    private final SilenceWatch watch;
    private @Nullable Call call;
    private boolean over;

    Attempt(Fetch fetch) {
      this.fetch = fetch;
      this.watch =
          new SilenceWatch(
              fetch.silences,
              policy.ioTimeout().toSeconds(),
              this::receivedBytes,
              counters::bytesFetched,
              () -> running,
              this::silent);
    }

    void send() {
      Call sent = store.get(fetch.object, fetch.offsetBytes, fetch.into, this);
      if (over) {
        sent.cancel();
      } else {
        call = sent;
        watch.start(loop);
      }
    }

    long receivedBytes() {
      return call == null ? 0 : call.receivedBytes();
    }

    private void silent() {
      long received = receivedBytes();
      cancel();
      fetch.ended(
          this,
          new StoreException(
              Kind.TIMED_OUT,
              received == 0 ? "the store is silent" : "the store went silent in mid-answer"));
    }

    void cancel() {
      over = true;
      watch.stop();
      if (call != null) {
        call.cancel();
      }
    }

    @Override
    public void ended(@Nullable StoreException failure) {
      if (!over) {
        over = true;
        watch.stop();
        fetch.ended(this, failure);
      }
    }
  }
}
