package io.ublkbridge.queue;

import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import io.ublkbridge.target.PayloadException;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/// One tag of a queue and, while the target owns it, the request in it. Reused for ever.
///
/// ```
/// NEW ─fetch→ KERNEL ─request→ TARGET ─complete / fail: commit→ KERNEL … ─abort→ GONE
///                       └──→ HELD ──↑  while the queue holds
/// ```
final class IoSlot implements BlockRequest {
  private final UblkQueue queue;
  private final int tag;
  private SlotState state = SlotState.NEW;
  private Operation operation = Operation.FLUSH;
  private long offsetBytes;
  private long lengthBytes;
  private boolean durable;
  private boolean mayUnmap;
  private int payloadBuffer = NO_BUFFER;
  private boolean storeFailed;
  private long begunNanos;

  IoSlot(UblkQueue queue, int tag) {
    this.queue = queue;
    this.tag = tag;
  }

  int tag() {
    return tag;
  }

  SlotState state() {
    return state;
  }

  void state(SlotState next) {
    state = next;
  }

  /// Takes a request over from the kernel, now.
  void begin(Operation requested, long offset, long length, boolean fua, boolean unmap) {
    begunNanos = queue.driver().nanoTime();
    state = SlotState.TARGET;
    operation = requested;
    offsetBytes = offset;
    lengthBytes = length;
    durable = fua;
    mayUnmap = unmap;
    storeFailed = false;
  }

  /// Where the payload of the request that just began is in the ring, if it is.
  void payloadIn(int buffer) {
    payloadBuffer = buffer;
  }

  /// How long the target has had the request, in nanoseconds.
  long age() {
    return queue.driver().nanoTime() - begunNanos;
  }

  @Override
  public Operation operation() {
    return operation;
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
  public boolean durable() {
    return durable;
  }

  @Override
  public boolean mayUnmap() {
    return mayUnmap;
  }

  @Override
  public int payloadBuffer() {
    return payloadBuffer;
  }

  @Override
  public void loadPayload(long at, MemorySegment into) {
    queue.requireOwned(this);
    requireInside(at, into);
    if (operation != Operation.WRITE || !queue.driver().load(tag, at, into)) {
      throw new PayloadException("the kernel did not give the payload of " + this);
    }
  }

  @Override
  public void storePayload(long at, MemorySegment from) {
    queue.requireOwned(this);
    requireInside(at, from);
    if (operation != Operation.READ || !queue.driver().store(tag, at, from)) {
      storeFailed = true;
    }
  }

  @Override
  public void complete() {
    if (storeFailed) {
      queue.end(this, IoError.IO, new PayloadException("the kernel did not take the payload"));
    } else {
      queue.end(this, null, null);
    }
  }

  @Override
  public void fail(IoError error, @Nullable Throwable cause) {
    queue.end(this, error, cause);
  }

  /// Outside its request a copy would hit another tag: file positions of tags are neighbours.
  private void requireInside(long at, MemorySegment piece) {
    if (at < 0 || at > lengthBytes || piece.byteSize() > lengthBytes - at) {
      throw new IllegalArgumentException(
          "bytes " + at + "+" + piece.byteSize() + " are outside of " + this);
    }
  }

  @Override
  public String toString() {
    return operation + " " + offsetBytes + "+" + lengthBytes + " (" + queue + ", tag " + tag + ")";
  }
}
