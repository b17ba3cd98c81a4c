package io.ublkbridge.device;

import static io.ublkbridge.device.LoopWatch.LOOKS_UNTIL_REPORT;
import static io.ublkbridge.device.LoopWatch.LOOKS_UNTIL_STUCK;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.netty.util.concurrent.DefaultEventExecutor;
import io.netty.util.concurrent.SingleThreadEventExecutor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/// What is made of an event loop that makes no turn, look by look.
final class LoopWatchTest {
  private final SingleThreadEventExecutor well = new DefaultEventExecutor();
  private final SingleThreadEventExecutor sick = new DefaultEventExecutor();
  private final CountDownLatch cure = new CountDownLatch(1);
  private final List<StuckLoopException> stuck = new ArrayList<>();

  @AfterEach
  void endLoops() throws Exception {
    cure.countDown();
    well.shutdownGracefully(0, 1, TimeUnit.SECONDS).sync();
    sick.shutdownGracefully(0, 1, TimeUnit.SECONDS).sync();
  }

  private LoopWatch watch() {
    return new LoopWatch(List.of(well, sick), stuck::add);
  }

  /// Looks, and lets those loops that can make a turn do so before the next look.
  private void look(LoopWatch watch, int times, SingleThreadEventExecutor... turning)
      throws Exception {
    for (int i = 0; i < times; i++) {
      watch.look();
      for (SingleThreadEventExecutor loop : turning) {
        loop.submit(() -> {}).sync();
      }
    }
  }

  private void hang() throws Exception {
    CountDownLatch hangs = new CountDownLatch(1);
    sick.execute(() -> {
      hangs.countDown();
      waitForCure();
    });
    hangs.await();
  }

  private void waitForCure() {
    try {
      cure.await();
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  @Test
  void loopsThatTurnAreLeftAlone() throws Exception {
    try (LoopWatch watch = watch()) {
      look(watch, 3 * LOOKS_UNTIL_STUCK, well, sick);
    }
    assertEquals(List.of(), stuck);
  }

  @Test
  void aStuckLoopIsToldOnceWithWhereItIs() throws Exception {
    try (LoopWatch watch = watch()) {
      hang();
      look(watch, LOOKS_UNTIL_STUCK, well);
      assertEquals(List.of(), stuck);
      look(watch, 2 * LOOKS_UNTIL_STUCK, well);
    }
    assertEquals(1, stuck.size());
    StuckLoopException told = stuck.getFirst();
    assertTrue(String.valueOf(told.getMessage()).contains("no turn for 60 s"), told.getMessage());
    assertTrue(
        Arrays.stream(told.getStackTrace())
            .anyMatch(frame -> frame.getMethodName().equals("waitForCure")));
  }

  @Test
  void aLoopThatGoesOnStartsAnew() throws Exception {
    try (LoopWatch watch = watch()) {
      hang();
      look(watch, LOOKS_UNTIL_REPORT + LOOKS_UNTIL_STUCK / 2, well);
      cure.countDown();
      look(watch, LOOKS_UNTIL_STUCK, well, sick);
    }
    assertEquals(List.of(), stuck);
  }

  @Test
  void loopsThatEndAreNotAsked() throws Exception {
    try (LoopWatch watch = watch()) {
      look(watch, 1, well, sick);
      well.shutdownGracefully(0, 1, TimeUnit.SECONDS).sync();
      look(watch, 2, sick);
    }
    assertEquals(List.of(), stuck);
  }
}
