package io.ublkbridge.device;

import io.ublkbridge.kernel.UblkException;
import io.ublkbridge.target.InternalRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/// A FLUSH of all that the target has acknowledged, which the kernel did not ask for: before a
/// device changes hands, and when it has.
final class DeviceFlush extends InternalRequest {
  private final CompletableFuture<Boolean> ended = new CompletableFuture<>();

  DeviceFlush() {
    super(Operation.FLUSH);
  }

  /// Has something done if the target refuses, however late that is, on the queue's event loop.
  void whenRefused(Runnable deed) {
    var _ =
        ended.whenComplete((_, failure) -> {
          if (failure != null) {
            deed.run();
          }
        });
  }

  /// For control threads.
  ///
  /// @throws InheritedWritesException if the target refuses
  /// @throws UblkException if it does not answer in time
  void await(Duration deadline) throws InheritedWritesException {
    try {
      var _ = ended.get(deadline.toMillis(), TimeUnit.MILLISECONDS);
    } catch (ExecutionException e) {
      throw new InheritedWritesException(String.valueOf(e.getMessage()), e);
    } catch (TimeoutException e) {
      throw new UblkException(
          "the target did not flush what was written before within " + deadline.toSeconds() + " s");
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new UblkException("interrupted while what was written before was flushed");
    }
  }

  @Override
  public void complete() {
    ended.complete(true);
  }

  @Override
  public void fail(IoError error, @Nullable Throwable cause) {
    ended.completeExceptionally(cause == null ? new IOException(error.toString()) : cause);
  }
}
