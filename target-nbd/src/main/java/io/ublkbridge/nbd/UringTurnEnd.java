package io.ublkbridge.nbd;

import io.netty.channel.IoEvent;
import io.netty.channel.IoEventLoop;
import io.netty.channel.IoRegistration;
import io.ublkbridge.kernel.EventLoopTurns;
import io.ublkbridge.kernel.TurnHandle;
import java.util.concurrent.ExecutionException;
import org.jspecify.annotations.Nullable;

/// The end of a turn of an io_uring event loop: requests come one by one from the completions of
/// one turn, and nothing says which is the last.
///
/// Confined to the loop, except the constructor and [#close].
final class UringTurnEnd implements TurnEnd, TurnHandle {
  private final Runnable action;
  private final IoRegistration registration;
  private @Nullable EventLoopTurns turns;
  private boolean armed;

  /// Registers with `loop`; to be called from another thread.
  ///
  /// @param action run on the loop; must not throw
  UringTurnEnd(IoEventLoop loop, Runnable action) throws InterruptedException, ExecutionException {
    this.action = action;
    this.registration = loop.register(this).get();
  }

  @Override
  public void joined(EventLoopTurns loopTurns) {
    turns = loopTurns;
  }

  @Override
  public boolean arm() {
    EventLoopTurns loopTurns = turns;
    if (!armed && loopTurns != null && registration.isValid()) {
      armed = true;
      loopTurns.endWith(this);
    }
    return armed;
  }

  @Override
  public void turnEnded() {
    armed = false;
    action.run();
  }

  @Override
  public void handle(IoRegistration from, IoEvent event) {
    throw new IllegalStateException("nothing was submitted");
  }

  /// Callable from every thread.
  @Override
  public void close() {
    registration.cancel();
  }
}
