package io.ublkbridge.overlay;

import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/// The FLUSH that a queue asks of itself when it is closed.
final class FinalFlush implements BlockRequest {
  private final CompletableFuture<Boolean> ended = new CompletableFuture<>();

  /// For control threads.
  CompletableFuture<Boolean> ended() {
    return ended;
  }

  @Override
  public Operation operation() {
    return Operation.FLUSH;
  }

  @Override
  public long offsetBytes() {
    return 0;
  }

  @Override
  public long lengthBytes() {
    return 0;
  }

  @Override
  public boolean durable() {
    return false;
  }

  @Override
  public boolean mayUnmap() {
    return false;
  }

  @Override
  public void loadPayload(long at, MemorySegment into) {
    throw new IllegalStateException("a FLUSH has no payload");
  }

  @Override
  public void storePayload(long at, MemorySegment from) {
    throw new IllegalStateException("a FLUSH has no payload");
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
