package io.ublkbridge.kernel;

import io.netty.channel.IoEvent;
import io.netty.channel.IoEventLoop;
import io.netty.channel.IoRegistration;
import io.netty.channel.uring.IoUringIoEvent;
import io.netty.channel.uring.IoUringIoHandle;
import io.netty.channel.uring.IoUringIoOps;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/// One system call that is made through a loop's io_uring, for a control thread that waits for it:
/// what Java does not offer, and is not worth a downcall.
public final class RingCall implements IoUringIoHandle {
  private final CompletableFuture<Integer> result = new CompletableFuture<>();

  private RingCall() {}

  /// Makes the call.
  ///
  /// @return what the kernel answered: 0 or more, or a negative error number
  /// @throws TimeoutException if there is no answer in time; the kernel may still come back to the
  ///   memory that the operation names
  /// @throws RejectedExecutionException if the loop has ended
  public static int run(IoEventLoop eventLoop, IoUringIoOps operation, Duration timeout)
      throws TimeoutException {
    RingCall call = new RingCall();
    try {
      IoRegistration registration =
          eventLoop.register(call).get(timeout.toMillis(), TimeUnit.MILLISECONDS);
      try {
        registration.submit(operation);
        return call.result.get(timeout.toMillis(), TimeUnit.MILLISECONDS);
      } finally {
        registration.cancel();
      }
    } catch (ExecutionException e) {
      throw new RejectedExecutionException("the event loop cannot be joined", e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new TimeoutException("interrupted");
    }
  }

  @Override
  public void handle(IoRegistration registration, IoEvent event) {
    result.complete(((IoUringIoEvent) event).res());
  }

  @Override
  public void close() {}
}
