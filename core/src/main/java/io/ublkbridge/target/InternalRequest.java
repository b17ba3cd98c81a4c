package io.ublkbridge.target;

import java.lang.foreign.MemorySegment;

/// A request that no kernel made: a fill, a flush, a write done again. Neither durable nor
/// unmapping, and by itself of no bytes and without a payload; each kind adds what it has.
public abstract class InternalRequest implements BlockRequest {
  private final Operation operation;

  protected InternalRequest(Operation operation) {
    this.operation = operation;
  }

  @Override
  public final Operation operation() {
    return operation;
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
  public final boolean durable() {
    return false;
  }

  @Override
  public final boolean mayUnmap() {
    return false;
  }

  @Override
  public void loadPayload(long at, MemorySegment into) {
    throw new IllegalStateException(this + " has no payload to load");
  }

  @Override
  public void storePayload(long at, MemorySegment from) {
    throw new IllegalStateException(this + " stores no payload");
  }
}
