package io.ublkbridge.kernel;

import io.netty.channel.IoHandle;
import io.netty.channel.IoHandler;
import io.netty.channel.IoHandlerContext;
import io.netty.channel.IoHandlerFactory;
import io.netty.channel.IoRegistration;
import io.netty.channel.uring.IoUringIoHandler;
import io.netty.channel.uring.IoUringIoHandlerConfig;
import io.netty.util.concurrent.ThreadAwareExecutor;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Netty's io_uring handler with an end to each turn of the loop: the last moment before it waits
/// for completions again, after the completions and tasks of the turn.
///
/// Netty enters the kernel as soon as the completions at hand are handled, if anything was
/// submitted meanwhile, and then once more to wait. What is submitted at the end of the turn goes
/// with the wait: one entry for both.
///
/// Netty also ends the wait of a loop that has no timer after a second, for which every wait starts
/// a timer in the kernel and takes its completion. Here such a loop waits until there is something
/// to do: completions, tasks and new timers wake it.
///
/// Confined to the event loop.
public final class EventLoopTurns implements IoHandler {
  private static final Logger log = LoggerFactory.getLogger(EventLoopTurns.class);

  private final IoHandler ring;
  private final List<TurnHandle> ending = new ArrayList<>();
  private @Nullable PatientContext patient;

  EventLoopTurns(IoHandler ring) {
    this.ring = ring;
  }

  /// Makes the handlers of loops, each with a ring of its own.
  public static IoHandlerFactory factory(IoUringIoHandlerConfig config) {
    IoHandlerFactory rings = IoUringIoHandler.newFactory(config);
    return new IoHandlerFactory() {
      @Override
      public IoHandler newHandler(ThreadAwareExecutor executor) {
        return new EventLoopTurns(rings.newHandler(executor));
      }

      @Override
      public boolean isChangingThreadSupported() {
        return rings.isChangingThreadSupported();
      }
    };
  }

  /// Asks for one call of [TurnHandle#turnEnded] at the end of this turn. A handle asks once a
  /// turn.
  public void endWith(TurnHandle handle) {
    ending.add(handle);
  }

  /// Gives the loop's ring a table of empty buffers; see [RingBuffers]. Once in its life.
  ///
  /// @return whether it has one; if not, nothing is lost but speed
  public boolean registerBuffers(int count) {
    return RingBuffers.register(ring, count);
  }

  private void endTurn() {
    // Grows while it is walked: what ends a turn may bring more to do before it.
    for (int i = 0; i < ending.size(); i++) {
      try {
        ending.get(i).turnEnded();
      } catch (RuntimeException | Error e) {
        // The others still have to submit, or what they hold would hang.
        log.error("a turn of the event loop did not end well", e);
      }
    }
    ending.clear();
  }

  @Override
  public void initialize() {
    ring.initialize();
  }

  @Override
  public int run(IoHandlerContext context) {
    if (!ending.isEmpty()) {
      endTurn();
    }
    PatientContext current = patient;
    if (current == null || !current.context.equals(context)) {
      current = new PatientContext(context);
      patient = current;
    }
    return ring.run(current);
  }

  /// A loop's own view of itself, without the timer that it does not have.
  private static final class PatientContext implements IoHandlerContext {
    /// A moment behind every timer: with one the delay is 0 then, without one Netty's second.
    private static final long AT_THE_END = Long.MAX_VALUE / 2;

    private static final long NO_DEADLINE = -1;

    private final IoHandlerContext context;

    PatientContext(IoHandlerContext context) {
      this.context = context;
    }

    @Override
    public boolean canBlock() {
      return context.canBlock();
    }

    @Override
    public long delayNanos(long currentTimeNanos) {
      return context.delayNanos(currentTimeNanos);
    }

    @Override
    public long deadlineNanos() {
      return context.delayNanos(AT_THE_END) == 0 ? context.deadlineNanos() : NO_DEADLINE;
    }

    @Override
    public void reportActiveIoTime(long activeNanos) {
      context.reportActiveIoTime(activeNanos);
    }

    @Override
    public boolean shouldReportActiveIoTime() {
      return context.shouldReportActiveIoTime();
    }
  }

  @Override
  public void prepareToDestroy() {
    endTurn();
    ring.prepareToDestroy();
  }

  @Override
  public void destroy() {
    ring.destroy();
  }

  @Override
  public IoRegistration register(IoHandle handle) throws Exception {
    if (handle instanceof TurnHandle turnHandle) {
      turnHandle.joined(this);
    }
    return ring.register(handle);
  }

  @Override
  public void wakeup() {
    ring.wakeup();
  }

  @Override
  public boolean isCompatible(Class<? extends IoHandle> handleType) {
    return ring.isCompatible(handleType);
  }
}
