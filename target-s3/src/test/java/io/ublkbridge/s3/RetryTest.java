package io.ublkbridge.s3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.s3.StoreException.Kind;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/// Patience, hedging and giving up, on a clock that nobody waits for.
final class RetryTest extends RetryCase {
  @Test
  void passesOnWhatSucceeds() {
    Caller caller = get(512);
    script.waiting().succeed();

    caller.assertRead();
    assertEquals(0, counters.retries());
    assertEquals(0, store.unended());
  }

  @Test
  void triesAgainLaterEachTime() {
    Caller caller = get(512);
    List<Long> pauses = new ArrayList<>();
    for (int i = 0; i < 6; i++) {
      script.waiting().fail(Kind.SERVER);
      long millis = 0;
      while (script.waitingCount() == 0) {
        pass(Duration.ofMillis(1));
        millis++;
      }
      pauses.add(millis);
    }
    script.waiting().succeed();

    caller.assertRead();
    assertEquals(6, counters.retries());
    long longest = 50;
    for (long pause : pauses) {
      assertTrue(pause >= longest / 2 && pause <= longest + 1, pauses + " at " + longest);
      longest *= 2;
    }
  }

  @Test
  void waitsLongerWhenAskedToSlowDown() {
    get(512);
    script.waiting().fail(Kind.THROTTLED);

    pass(Duration.ofMillis(199));
    assertEquals(0, script.waitingCount());
    pass(Duration.ofMillis(202));
    assertEquals(1, script.waitingCount());
    assertEquals(1, counters.throttles());
  }

  @Test
  void reportsAtOnceWhatCannotPass() {
    for (Kind kind : Kind.values()) {
      if (!kind.passing()) {
        Caller caller = get(512);
        script.waiting().fail(kind);
        caller.assertFailed(kind);
      }
    }
    assertEquals(0, counters.retries());
  }

  @Test
  void givesAnAttemptUpWhenItTakesTooLong() {
    Caller caller = get(512);
    pass(IO_TIMEOUT.minusMillis(1));
    assertEquals(1, script.waitingCount());

    pass(Duration.ofMillis(1));
    assertTrue(script.gets().getFirst().cancelled());
    pass(Duration.ofMillis(51));
    script.waiting().succeed();

    caller.assertRead();
  }

  @Test
  void oneRequestThatNeverSucceedsFailsWhileOthersDo() {
    Caller unlucky = get(512);
    for (Duration spent = Duration.ZERO; unlucky.ends == 0; spent = spent.plusMillis(100)) {
      assertTrue(spent.compareTo(IO_TIMEOUT.plusSeconds(10)) < 0, "waits for ever");
      for (ScriptedStore.Get get : List.copyOf(script.gets())) {
        if (get.waits()) {
          get.fail(Kind.BROKEN);
        }
      }
      if (unlucky.ends == 0) {
        Caller lucky = get(8192);
        script.gets().getLast().succeed();
        lucky.assertRead();
        pass(Duration.ofMillis(100));
      }
    }

    unlucky.assertFailed(Kind.TIMED_OUT);
  }

  @Test
  void anOutageHoldsRequestsAndThenFailsThem() {
    Caller first = get(512);
    Caller second = get(1024);
    for (Duration spent = Duration.ZERO;
        spent.compareTo(LOSS_TIMEOUT) < 0;
        spent = spent.plusMillis(500)) {
      first.assertWaits();
      second.assertWaits();
      failAll();
      pass(Duration.ofMillis(500));
    }

    first.assertFailed(Kind.UNREACHABLE);
    second.assertFailed(Kind.UNREACHABLE);
    Caller third = get(2048);
    failAll();
    third.assertFailed(Kind.UNREACHABLE);
    assertNotNull(store.trouble());

    Caller fourth = get(4096);
    script.waiting().succeed();
    fourth.assertRead();
    assertNull(store.trouble());

    Caller fifth = get(512);
    failAll();
    fifth.assertWaits();
  }

  @Test
  void onlyALongOutageIsTold() {
    get(512);
    failAll();
    pass(Duration.ofMillis(1999));
    assertNull(store.trouble());

    pass(Duration.ofMillis(2));

    assertEquals("scripted UNREACHABLE", assertNotNullAnd(store.trouble()).why());
  }

  /// So that one queue can see that another has reached the store since.
  @Test
  void troubleIsPastOnceTheStoreHasAnsweredAnybody() {
    Caller caller = get(512);
    failAll();
    pass(Duration.ofSeconds(3));
    StoreHealth.State trouble = assertNotNullAnd(store.trouble());
    assertEquals(trouble.sinceNanos(), trouble.failedNanos());
    assertFalse(store.answeredSince(trouble.failedNanos()));

    failAll();
    StoreHealth.State later = assertNotNullAnd(store.trouble());
    assertEquals(trouble.sinceNanos(), later.sinceNanos());
    assertEquals(Duration.ofSeconds(3).toNanos(), later.failedNanos() - trouble.failedNanos());

    pass(Duration.ofSeconds(3));
    script.waiting().succeed();
    caller.assertRead();
    assertTrue(store.answeredSince(later.failedNanos()));
  }

  private static StoreHealth.State assertNotNullAnd(StoreHealth.@Nullable State state) {
    if (state == null) {
      throw new AssertionError("no trouble is told");
    }
    return state;
  }

  private void failAll() {
    for (ScriptedStore.Get get : List.copyOf(script.gets())) {
      if (get.waits()) {
        get.fail(Kind.UNREACHABLE);
      }
    }
  }

  @Test
  void soManyAreUnderWayAndNotMore() {
    List<Caller> callers = new ArrayList<>();
    for (int i = 0; i < 3 * CONCURRENCY; i++) {
      callers.add(get(512L * i));
    }
    assertEquals(CONCURRENCY, script.waitingCount());

    while (script.waitingCount() > 0) {
      script.gets().stream().filter(ScriptedStore.Get::waits).findFirst().orElseThrow().succeed();
      assertTrue(script.waitingCount() <= CONCURRENCY);
    }

    callers.forEach(Caller::assertRead);
  }

  @Test
  void aSlowGetIsHedgedOnceItsKindIsKnown() {
    learn(40);
    Caller caller = get(512);
    pass(Duration.ofMillis(40));
    assertEquals(2, script.waitingCount());
    assertEquals(1, counters.hedges());

    ScriptedStore.Get slow = script.gets().get(40);
    script.gets().get(41).succeed();

    caller.assertRead();
    assertTrue(slow.cancelled(), "the loser must not write any more");
    assertEquals(1, counters.hedgesWon());
  }

  @Test
  void aGetIsNotHedgedBecauseThisThreadIsLate() {
    learn(40);
    Caller caller = get(512);
    pass(Duration.ofMillis(200));
    assertEquals(0, counters.hedges());

    pass(Duration.ofMillis(40));
    assertEquals(1, counters.hedges(), "it is slow all the same");
    script.gets().get(41).succeed();
    caller.assertRead();
  }

  @Test
  void aFailedHedgeLeavesTheFirstAlone() {
    learn(40);
    Caller caller = get(512);
    pass(Duration.ofMillis(40));
    script.gets().get(41).fail(Kind.BROKEN);
    caller.assertWaits();

    script.gets().get(40).succeed();

    caller.assertRead();
    assertEquals(0, counters.retries());
  }

  @Test
  void hedgesAreOneInTwentyAtMost() {
    learn(400);
    long before = script.gets().size();
    for (int i = 0; i < 400; i++) {
      Caller caller = get(512);
      pass(Duration.ofMillis(60));
      List<ScriptedStore.Get> waiting =
          script.gets().stream().filter(ScriptedStore.Get::waits).toList();
      waiting.getLast().succeed();
      caller.assertRead();
    }

    long hedges = script.gets().size() - before - 400;
    assertEquals(counters.hedges(), hedges);
    assertTrue(hedges > 0 && hedges <= (400 + 400) / 20, "hedges: " + hedges);
  }

  /// GETs of 10 ms each.
  private void learn(int count) {
    for (int i = 0; i < count; i++) {
      Caller caller = get(512);
      pass(Duration.ofMillis(10));
      script.waiting().succeed();
      caller.assertRead();
    }
  }

  @Test
  void whatIsCancelledEndsSilently() {
    List<Caller> callers = new ArrayList<>();
    List<ObjectStore.Call> calls = new ArrayList<>();
    for (int i = 0; i < CONCURRENCY + 2; i++) {
      Caller caller = new Caller(512L * i);
      callers.add(caller);
      calls.add(store.get(OBJECT, 512L * i, Destination.of(caller.memory), caller));
    }
    calls.get(0).cancel();
    calls.get(CONCURRENCY + 1).cancel();

    assertTrue(script.gets().getFirst().cancelled());
    assertEquals(CONCURRENCY, script.waitingCount(), "the next one took its place");
    while (script.waitingCount() > 0) {
      script.gets().stream().filter(ScriptedStore.Get::waits).findFirst().orElseThrow().succeed();
    }
    callers.get(0).assertWaits();
    callers.get(CONCURRENCY + 1).assertWaits();
    callers.subList(1, CONCURRENCY + 1).forEach(Caller::assertRead);
  }

  @Test
  void stoppingEndsWhatWaitsAndSoonTheRest() {
    Caller failing = get(512);
    script.waiting().fail(Kind.UNREACHABLE);
    Caller slow = get(1024);

    store.stopping();
    failing.assertFailed(Kind.UNREACHABLE);
    slow.assertWaits();

    pass(Duration.ofSeconds(3));
    slow.assertFailed(Kind.UNREACHABLE);
    assertFalse(script.gets().getLast().waits());
  }
}
