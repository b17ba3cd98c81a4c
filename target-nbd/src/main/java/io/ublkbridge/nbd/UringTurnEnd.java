package io.ublkbridge.nbd;

import io.netty.channel.IoEvent;
import io.netty.channel.IoEventLoop;
import io.netty.channel.IoRegistration;
import io.netty.channel.uring.IoUringIoHandle;
import io.netty.channel.uring.IoUringIoOps;
import java.util.concurrent.ExecutionException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// The end of a turn of an io_uring event loop.
///
/// Requests come one by one from the completions of one turn of the loop, and nothing says which is
/// the last; a task of the loop may be held up for 128 turns. So this puts a no-operation into the
/// ring: it comes back in the next turn, behind everything of this one.
///
/// Confined to the loop, except the constructor and [#close].
final class UringTurnEnd implements TurnEnd, IoUringIoHandle {
  private static final Logger LOG = LoggerFactory.getLogger(UringTurnEnd.class);

  private static final byte IORING_OP_NOP = 0;
  private static final IoUringIoOps NOP =
      new IoUringIoOps(
          IORING_OP_NOP, (byte) 0, (short) 0, -1, 0L, 0L, 0, 0, 0L, (short) 0, (short) 0, 0, 0L);

  private final Runnable action;
  private final IoRegistration registration;
  private boolean armed;

  /// Registers with `loop`; to be called from another thread.
  ///
  /// @param action run on the loop; must not throw
  UringTurnEnd(IoEventLoop loop, Runnable action) throws InterruptedException, ExecutionException {
    this.action = action;
    this.registration = loop.register(this).get();
  }

  @Override
  public boolean arm() {
    if (!armed) {
      armed = registration.isValid() && registration.submit(NOP) != 0;
    }
    return armed;
  }

  @Override
  public void handle(IoRegistration from, IoEvent event) {
    armed = false;
    try {
      action.run();
    } catch (RuntimeException e) {
      // Netty would put the loop to sleep.
      LOG.error("cannot flush NBD requests", e);
    }
  }

  /// Callable from every thread.
  @Override
  public void close() {
    registration.cancel();
  }
}
