package io.ublkbridge.overlay;

import io.ublkbridge.target.InternalRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import java.io.IOException;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/// The FLUSH that a queue asks of itself when it is closed.
final class FinalFlush extends InternalRequest {
  private final CompletableFuture<Boolean> ended = new CompletableFuture<>();

  FinalFlush() {
    super(Operation.FLUSH);
  }

  /// For control threads.
  CompletableFuture<Boolean> ended() {
    return ended;
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
