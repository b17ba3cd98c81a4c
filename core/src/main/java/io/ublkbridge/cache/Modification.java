package io.ublkbridge.cache;

import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import java.lang.foreign.MemorySegment;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// A WRITE, DISCARD or WRITE_ZEROES on its way to the target: when it has ended, however it has,
/// the blocks of its range leave the cache before whoever asked hears of it. Reused; confined to
/// the queue's event loop.
///
/// The cache is not given the new bytes instead: what the kernel still has of the payload by then
/// need not be what the target was given, and two writes of one range may end in another order than
/// the target did them in.
final class Modification implements BlockRequest {
  private final CachedQueue queue;
  private @Nullable BlockRequest original;

  Modification(CachedQueue queue) {
    this.queue = queue;
  }

  void begin(BlockRequest request) {
    original = request;
  }

  boolean ended() {
    return original == null;
  }

  private BlockRequest original() {
    return Objects.requireNonNull(original, "a modification was used after its end");
  }

  @Override
  public Operation operation() {
    return original().operation();
  }

  @Override
  public long offsetBytes() {
    return original().offsetBytes();
  }

  @Override
  public long lengthBytes() {
    return original().lengthBytes();
  }

  @Override
  public boolean durable() {
    return original().durable();
  }

  @Override
  public boolean mayUnmap() {
    return original().mayUnmap();
  }

  @Override
  public void loadPayload(long at, MemorySegment into) {
    original().loadPayload(at, into);
  }

  @Override
  public void storePayload(long at, MemorySegment from) {
    original().storePayload(at, from);
  }

  @Override
  public void complete() {
    end().complete();
  }

  @Override
  public void fail(IoError error, @Nullable Throwable cause) {
    end().fail(error, cause);
  }

  private BlockRequest end() {
    BlockRequest request = original();
    queue.modified(request);
    original = null;
    queue.recycle(this);
    return request;
  }

  @Override
  public String toString() {
    return String.valueOf(original);
  }
}
