package io.ublkbridge.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.netty.channel.IoEvent;
import io.netty.channel.IoEventLoop;
import io.netty.channel.IoHandle;
import io.netty.channel.IoHandler;
import io.netty.channel.IoHandlerContext;
import io.netty.channel.IoRegistration;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.uring.IoUringIoEvent;
import io.netty.channel.uring.IoUringIoOps;
import io.ublkbridge.target.UringLoops;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/// What is put off to the end of a turn happens, in time and in order, wherever it was asked for.
final class EventLoopTurnsTest {
  private static final byte IORING_OP_NOP = 0;

  private final UringLoops loops = new UringLoops(1);
  private final IoEventLoop loop = loops.next();

  @AfterEach
  void closeLoops() {
    loops.close();
  }

  /// Notes what happens; submits a no-operation at the end of each turn that it asked for.
  private static class Recorder implements TurnHandle {
    private final String name;
    private final List<String> events;
    private final CountDownLatch done;
    private @Nullable EventLoopTurns turns;
    @Nullable IoRegistration registration;
    private boolean failing;

    Recorder(String name, List<String> events, CountDownLatch done) {
      this.name = name;
      this.events = events;
      this.done = done;
    }

    Recorder failing() {
      failing = true;
      return this;
    }

    void ask() {
      EventLoopTurns joined = turns;
      assertTrue(joined != null, "it was told of its loop's turns");
      joined.endWith(this);
    }

    @Override
    public void joined(EventLoopTurns loopTurns) {
      turns = loopTurns;
    }

    @Override
    public void turnEnded() {
      events.add(name + " ended");
      IoRegistration ring = registration;
      assertTrue(ring != null);
      ring.submit(
          new IoUringIoOps(
              IORING_OP_NOP, (byte) 0, (short) 0, -1, 0, 0, 0, 0, 7L, (short) 0, (short) 0, 0, 0));
      if (failing) {
        throw new IllegalStateException("on purpose");
      }
    }

    @Override
    public void handle(IoRegistration source, IoEvent event) {
      events.add(name + " completed " + ((IoUringIoEvent) event).userData());
      done.countDown();
    }

    @Override
    public void close() {}
  }

  private Recorder join(Recorder recorder) throws Exception {
    recorder.registration = loop.register(recorder).get(10, TimeUnit.SECONDS);
    return recorder;
  }

  private static void await(CountDownLatch done) throws InterruptedException {
    assertTrue(done.await(10, TimeUnit.SECONDS), "everything submitted came back");
  }

  @Test
  void whatATaskAsksForHappensBeforeTheLoopWaits() throws Exception {
    CountDownLatch done = new CountDownLatch(1);
    List<String> events = new ArrayList<>();
    Recorder recorder = join(new Recorder("a", events, done));
    loop.execute(recorder::ask);
    await(done);
    assertEquals(List.of("a ended", "a completed 7"), events);
  }

  @Test
  void whatIsAskedForWhileATurnEndsBelongsToIt() throws Exception {
    CountDownLatch done = new CountDownLatch(2);
    List<String> events = new ArrayList<>();
    Recorder second = join(new Recorder("b", events, done));
    Recorder first =
        join(
            new Recorder("a", events, done) {
              @Override
              public void turnEnded() {
                super.turnEnded();
                second.ask();
              }
            });
    loop.execute(first::ask);
    await(done);
    assertEquals(List.of("a ended", "b ended", "a completed 7", "b completed 7"), events);
  }

  /// Notes until when it may wait, and waits until it is woken.
  private static final class Sleeper implements IoHandler {
    private final Semaphore woken = new Semaphore(0);
    private final BlockingQueue<Long> deadlines = new LinkedBlockingQueue<>();

    @Override
    public int run(IoHandlerContext context) {
      if (context.canBlock()) {
        deadlines.add(context.deadlineNanos());
        woken.acquireUninterruptibly();
      }
      return 0;
    }

    @Override
    public void wakeup() {
      woken.release();
    }

    @Override
    public void destroy() {}

    @Override
    public IoRegistration register(IoHandle handle) {
      throw new UnsupportedOperationException();
    }

    @Override
    public boolean isCompatible(Class<? extends IoHandle> handleType) {
      return false;
    }
  }

  @Test
  void aLoopWithoutATimerWaitsForAsLongAsItTakes() throws Exception {
    Sleeper sleeper = new Sleeper();
    var group = new MultiThreadIoEventLoopGroup(1, _ -> new EventLoopTurns(sleeper));
    try {
      group.execute(() -> {});
      assertEquals(-1, sleeper.deadlines.poll(10, TimeUnit.SECONDS));
      sleeper.deadlines.clear();

      var timer = group.schedule(() -> {}, 1, TimeUnit.HOURS);
      Long deadline = sleeper.deadlines.poll(10, TimeUnit.SECONDS);
      while (deadline != null && deadline < 0) {
        deadline = sleeper.deadlines.poll(10, TimeUnit.SECONDS);
      }
      assertTrue(deadline != null, "a timer that another thread sets wakes the loop and counts");
      timer.cancel(false);
    } finally {
      group.shutdownGracefully(0, 5, TimeUnit.SECONDS).awaitUninterruptibly();
    }
  }

  @Test
  void timersRunInTimeWhoeverSetsThem() throws Exception {
    CountDownLatch done = new CountDownLatch(2);
    var fromOutside = loop.schedule(done::countDown, 20, TimeUnit.MILLISECONDS);
    var fromInside =
        UringLoops.run(loop, () -> loop.schedule(done::countDown, 20, TimeUnit.MILLISECONDS));
    await(done);
    fromOutside.get(10, TimeUnit.SECONDS);
    fromInside.get(10, TimeUnit.SECONDS);
  }

  @Test
  void oneThatFailsKeepsNobodyElseFromSubmitting() throws Exception {
    CountDownLatch done = new CountDownLatch(2);
    List<String> events = new ArrayList<>();
    Recorder first = join(new Recorder("a", events, done).failing());
    Recorder second = join(new Recorder("b", events, done));
    loop.execute(() -> {
      first.ask();
      second.ask();
    });
    await(done);
    assertEquals(List.of("a ended", "b ended", "a completed 7", "b completed 7"), events);
  }
}
