package io.ublkbridge.nbd;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.PriorityQueue;
import java.util.random.RandomGenerator;

/// Event loops on one thread and one clock that nobody waits for: which loop takes its next step is
/// up to the seed, the order within one loop is not.
final class SimulatedLoops {
  private record Timer(long at, long number, Loop loop, Runnable action) {}

  private final RandomGenerator random;
  private final List<Loop> loops = new ArrayList<>();
  private final PriorityQueue<Timer> timers =
      new PriorityQueue<>(Comparator.comparingLong(Timer::at).thenComparingLong(Timer::number));
  private long now;
  private long timersMade;

  SimulatedLoops(RandomGenerator random) {
    this.random = random;
  }

  Loop newLoop() {
    Loop loop = new Loop();
    loops.add(loop);
    return loop;
  }

  long now() {
    return now;
  }

  /// The process that some loops belong to is killed: nothing of theirs ever happens again.
  void end(Collection<Loop> dead) {
    loops.removeAll(dead);
    timers.removeIf(timer -> dead.contains(timer.loop()));
  }

  /// Takes one step of a loop that has one to take.
  boolean step() {
    List<Loop> busy = loops.stream().filter(loop -> !loop.tasks.isEmpty()).toList();
    if (busy.isEmpty()) {
      return false;
    }
    busy.get(random.nextInt(busy.size())).tasks.remove().run();
    return true;
  }

  /// Lets time pass; what is due then is for the loops to do.
  void pass(Duration time) {
    now += time.toNanos();
    while (!timers.isEmpty() && timers.peek().at() <= now) {
      Timer due = timers.remove();
      due.loop().tasks.add(due.action());
    }
  }

  final class Loop implements QueueLoop {
    private final ArrayDeque<Runnable> tasks = new ArrayDeque<>();

    @Override
    public void execute(Runnable action) {
      tasks.add(action);
    }

    @Override
    public void after(Duration delay, Runnable action) {
      timers.add(new Timer(now + delay.toNanos(), timersMade++, this, action));
    }

    @Override
    public long nanoTime() {
      return now;
    }

    @Override
    public TurnEnd turnEnd(Runnable action) {
      return new TurnEnd() {
        @Override
        public boolean arm() {
          execute(action);
          return true;
        }

        @Override
        public void close() {}
      };
    }
  }
}
