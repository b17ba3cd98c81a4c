package io.ublkbridge.s3;

import io.netty.channel.EventLoop;
import io.netty.util.concurrent.ScheduledFuture;
import io.ublkbridge.s3.StoreException.Kind;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;

/// A store whose failures are met with patience: the one place that retries, hedges and gives up.
///
/// ```
/// get ─→ waiting ─→ attempt ─────────────────→ success
///        (too many   │  └─ slow → a second one, the first answer counts
///         under way) └─ failed → backoff → attempt …
/// ```
///
/// - An attempt that has not ended within the I/O timeout is given up, and counts as failed.
/// - What may pass (no connection, 5xx, 429, an answer that is not whole) is tried again, later
///   each time, at a random moment. The rest is reported at once.
/// - While nothing succeeds at all, requests wait for the loss timeout and fail then; afterwards
///   each new one has one attempt, until one succeeds.
/// - While others succeed, a request has the I/O timeout from its first failure on.
/// - A GET that is slow among its kind is sent a second time, for at most one in twenty; unless it
///   is this thread that is late, and may have the answer before it.
///
/// Both attempts read into the same memory: they are given the same bytes, and the loser is stopped
/// before the winner is told. Confined to the event loop, except where it says otherwise.
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

  /// @param ioTimeout how long one attempt may take
  /// @param lossTimeout how long requests wait while nothing succeeds; zero for ever
  /// @param concurrency how many requests are under way at once; hedges come on top
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
  private final ArrayDeque<Fetch> waiting = new ArrayDeque<>();
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
    this.health = new StoreHealth(loop, policy.lossTimeout(), this::giveUpAll);
  }

  @Override
  public Call get(ObjectVersion object, long offsetBytes, MemorySegment into, End end) {
    Fetch fetch = new Fetch(object, offsetBytes, into, end);
    live.add(fetch);
    if (running < policy.concurrency()) {
      fetch.begin();
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
    running = 0;
    for (Fetch fetch : all) {
      fetch.leave();
    }
    for (Fetch fetch : all) {
      fetch.end.ended(fetch.surrender());
    }
  }

  private void startNext() {
    while (running < policy.concurrency()) {
      Fetch next = waiting.poll();
      if (next == null) {
        return;
      }
      next.begin();
    }
  }

  /// What is wrong with the store; null if nothing is. From every thread.
  StoreHealth.@Nullable State trouble() {
    return health.state();
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
    private final MemorySegment into;
    private final End end;

    private boolean begun;
    private @Nullable Attempt first;
    private @Nullable Attempt second;
    private @Nullable ScheduledFuture<?> deadline;
    private @Nullable ScheduledFuture<?> nextStep;
    private int failures;
    private long failingSinceNanos;
    private @Nullable StoreException failure;

    Fetch(ObjectVersion object, long offsetBytes, MemorySegment into, End end) {
      this.object = object;
      this.offsetBytes = offsetBytes;
      this.into = into;
      this.end = end;
    }

    void begin() {
      begun = true;
      running++;
      attempt();
    }

    private void attempt() {
      if (failures > 0) {
        counters.retried();
      }
      earned = Math.min(HEDGES_SAVED_MAX * GETS_PER_HEDGE, earned + 1);
      deadline = after(policy.ioTimeout().toNanos(), this::expire);
      hedgeLater();
      Attempt attempt = new Attempt(this);
      first = attempt;
      attempt.send();
    }

    private void hedgeLater() {
      long waitNanos = latency.slowAfterNanos(into.byteSize());
      long dueNanos = loop.ticker().nanoTime() + waitNanos;
      nextStep = after(waitNanos, () -> hedge(dueNanos, waitNanos));
    }

    private void hedge(long dueNanos, long waitNanos) {
      if (loop.ticker().nanoTime() - dueNanos >= waitNanos) {
        hedgeLater();
        return;
      }
      if (earned < GETS_PER_HEDGE || hedgesRunning >= policy.hedgesMax()) {
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
        latency.record(into.byteSize(), loop.ticker().nanoTime() - attempt.startNanos);
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
      if (!why.kind().passing()) {
        health.succeeded();
        finish(why);
      } else if (first == null && second == null) {
        failed(why);
      }
    }

    private void failed(StoreException why) {
      stopAttempts();
      failure = why;
      long now = loop.ticker().nanoTime();
      if (failures++ == 0) {
        failingSinceNanos = now;
      }
      health.failed(why);
      if (stopping || health.gaveUp()) {
        finish(surrender());
      } else if (health.answeredSince(failingSinceNanos)
          && now - failingSinceNanos >= policy.ioTimeout().toNanos()) {
        finish(
            new StoreException(
                Kind.TIMED_OUT,
                failures
                    + " attempts in "
                    + policy.ioTimeout().toSeconds()
                    + " s, the last: "
                    + why.message()));
      } else {
        nextStep = after(backoffNanos(failures, why.kind()), this::attempt);
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
        if (begun) {
          running--;
        } else {
          waiting.remove(this);
        }
        leave();
        startNext();
        end.ended(why);
      }
    }

    void leave() {
      stopAttempts();
      stop(nextStep);
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
        if (begun) {
          running--;
        } else {
          waiting.remove(this);
        }
        leave();
        startNext();
      }
    }
  }

  /// One GET.
  private final class Attempt implements End {
    private final Fetch fetch;
    private final long startNanos = loop.ticker().nanoTime();
    private @Nullable Call call;
    private boolean over;

    Attempt(Fetch fetch) {
      this.fetch = fetch;
    }

    void send() {
      Call sent = store.get(fetch.object, fetch.offsetBytes, fetch.into, this);
      if (over) {
        sent.cancel();
      } else {
        call = sent;
      }
    }

    void cancel() {
      over = true;
      if (call != null) {
        call.cancel();
      }
    }

    @Override
    public void ended(@Nullable StoreException failure) {
      if (!over) {
        over = true;
        fetch.ended(this, failure);
      }
    }
  }
}
