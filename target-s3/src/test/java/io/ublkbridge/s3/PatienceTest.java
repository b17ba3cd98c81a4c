package io.ublkbridge.s3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.s3.StoreException.Kind;
import java.time.Duration;
import org.junit.jupiter.api.Test;

/// How long answers are waited for, and who goes first where not all can.
final class PatienceTest extends RetryCase {
  @Test
  void silenceIsEndedAndTheNextAttemptMayBeSilentForLonger() {
    Caller caller = get(512);
    passSeconds(9);
    assertTrue(script.gets().getFirst().waits());
    pass(Duration.ofSeconds(1));
    assertTrue(script.gets().getFirst().cancelled());

    pass(Duration.ofMillis(51));
    passSeconds(19);
    script.waiting().succeed();
    caller.assertRead();
    assertEquals(1, counters.retries());
  }

  /// After an outage a dead connection must not be noticed later than before.
  @Test
  void otherFailuresAreNoReasonForMorePatience() {
    get(512);
    for (int failure = 0; failure < 6; failure++) {
      script.waiting().fail(Kind.UNREACHABLE);
      passSeconds(6);
    }
    ScriptedStore.Get silent = script.waiting();
    passSeconds(10);
    assertTrue(silent.cancelled());
  }

  @Test
  void anAnswerThatPausesWhileOthersAreServedIsGivenUp() {
    get(512);
    Caller caller = get(1024);
    script.gets().getFirst().receive(100);
    pass(Duration.ofSeconds(1));
    counters.fetched(256 << 10);
    pass(Duration.ofSeconds(1));
    assertTrue(script.gets().getFirst().waits());
    pass(Duration.ofSeconds(1));
    assertTrue(script.gets().getFirst().cancelled());
    assertTrue(script.gets().get(1).waits(), "it has not begun");
    script.gets().get(1).succeed();
    caller.assertRead();
  }

  @Test
  void anAnswerThatPausesBecauseTheStoreIsSlowIsWaitedFor() {
    Caller caller = get(512);
    get(1024);
    script.gets().getFirst().receive(100);
    pass(Duration.ofSeconds(1));
    counters.fetched(64 << 10);
    passSeconds(9);
    script.gets().getFirst().succeed();
    caller.assertRead();
  }

  @Test
  void anAnswerMayTakeLongAsLongAsItComes() {
    Caller caller = get(512);
    for (int second = 0; second < 400; second++) {
      script.waiting().receive(10);
      pass(Duration.ofSeconds(1));
    }
    script.waiting().succeed();
    caller.assertRead();
    assertEquals(1, script.gets().size());
  }

  @Test
  void anAnswerThatTricklesIsGivenUp() {
    get(512);
    for (int second = 0; second < 60; second++) {
      script.gets().getFirst().receive(1);
      pass(Duration.ofSeconds(1));
    }
    assertTrue(script.gets().getFirst().cancelled());
  }

  @Test
  void aStoreThatIsTooSlowIsGivenTheLossTimeout() {
    Caller caller = get(512);
    int seconds = 0;
    for (; caller.ends == 0; seconds++) {
      assertTrue(seconds < 720, "waits for ever");
      pass(Duration.ofSeconds(1));
      if (caller.ends == 0) {
        Caller lucky = get(8192);
        script.gets().getLast().succeed();
        lucky.assertRead();
      }
    }
    caller.assertFailed(Kind.TIMED_OUT);
    assertTrue(seconds >= 600, seconds + " s");
  }

  @Test
  void lessIsAskedForAtOnceOfAStoreThatDoesNotKeepUp() {
    ConcurrencyLimit limit = new ConcurrencyLimit(64);
    limit.overloaded(0, 40, 10);
    assertEquals(28, limit.now());
    limit.overloaded(9, 40, 11);
    assertEquals(28, limit.now(), "sent before it was reduced");
    limit.overloaded(12, 28, 20);
    assertEquals(19, limit.now());
    for (int i = 0; i < 20; i++) {
      limit.overloaded(30 + i, 1, 31 + i);
    }
    assertEquals(ConcurrencyLimit.MIN, limit.now());
    for (int i = 0; i < 119; i++) {
      assertTrue(limit.lowered());
      limit.succeeded();
    }
    limit.succeeded();
    assertFalse(limit.lowered());
    assertEquals(64, limit.now());
  }

  @Test
  void whoWaitsGoesInOrderAndWhatNobodyWaitsForGoesLast() {
    Caller first = get(0);
    for (int i = 1; i < CONCURRENCY; i++) {
      get(512L * i);
    }
    script.gets().getFirst().fail(Kind.BROKEN);
    Caller ahead = new Caller(1 << 16);
    ahead.background = true;
    store.get(OBJECT, ahead.offsetBytes, Destination.of(ahead.memory), ahead);
    assertEquals(ahead.offsetBytes, script.gets().getLast().offsetBytes(), "there is room");
    Caller aheadToo = new Caller(1 << 17);
    aheadToo.background = true;
    store.get(OBJECT, aheadToo.offsetBytes, Destination.of(aheadToo.memory), aheadToo);
    get(1 << 18);
    get(1 << 19);
    pass(Duration.ofMillis(51));

    for (long expected : new long[] {first.offsetBytes, 1 << 18}) {
      script.gets().stream().filter(ScriptedStore.Get::waits).findFirst().orElseThrow().succeed();
      assertEquals(expected, script.gets().getLast().offsetBytes());
    }
    aheadToo.background = false;
    script.gets().stream().filter(ScriptedStore.Get::waits).findFirst().orElseThrow().succeed();
    assertEquals(1 << 17, script.gets().getLast().offsetBytes(), "somebody waits for it by now");
  }
}
