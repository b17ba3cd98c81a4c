package io.ublkbridge.overlay;

import io.ublkbridge.target.InternalRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/// What a slot asks of the base: always a READ. Confined to the queue's event loop.
final class BasePart extends InternalRequest {
  private final OverlaySlot slot;
  private final OverlayQueue queue;
  private long offsetBytes;
  private long lengthBytes;

  BasePart(OverlaySlot slot, OverlayQueue queue) {
    super(Operation.READ);
    this.slot = slot;
    this.queue = queue;
  }

  BasePart of(long from, long to) {
    offsetBytes = from;
    lengthBytes = to - from;
    return this;
  }

  @Override
  public long offsetBytes() {
    return offsetBytes;
  }

  @Override
  public long lengthBytes() {
    return lengthBytes;
  }

  @Override
  public void storePayload(long at, MemorySegment from) {
    queue.baseSupplied(slot, offsetBytes + at, from);
  }

  @Override
  public void complete() {
    queue.baseEnded(slot, null, null);
  }

  @Override
  public void fail(IoError error, @Nullable Throwable cause) {
    queue.baseEnded(slot, error, cause);
  }
}
