package io.ublkbridge.target;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/// A [BlockRequest] for tests: keeps its payload on the heap, remembers how it ended, and refuses
/// to end twice.
public final class RecordedRequest implements BlockRequest {
  private final Operation operation;
  private final long offsetBytes;
  private final long lengthBytes;
  private final boolean durable;
  private final boolean mayUnmap;
  private final MemorySegment payload;
  private final boolean[] stored;
  private final CompletableFuture<@Nullable IoError> end = new CompletableFuture<>();
  private int payloadBuffer = NO_BUFFER;
  private boolean copied;
  private @Nullable Throwable cause;
  private @Nullable AssertionError misuse;

  private RecordedRequest(
      Operation operation, long offsetBytes, byte[] payload, long lengthBytes, boolean... flags) {
    this.operation = operation;
    this.offsetBytes = offsetBytes;
    this.lengthBytes = lengthBytes;
    this.durable = flags.length > 0 && flags[0];
    this.mayUnmap = flags.length > 1 && flags[1];
    // Off the heap, as the real requester's memory is.
    this.payload = Arena.ofAuto().allocate(Math.max(1, payload.length));
    MemorySegment.copy(payload, 0, this.payload, ValueLayout.JAVA_BYTE, 0, payload.length);
    this.stored = new boolean[operation == Operation.READ ? (int) lengthBytes : 0];
  }

  public static RecordedRequest read(long offsetBytes, int lengthBytes) {
    return new RecordedRequest(Operation.READ, offsetBytes, new byte[lengthBytes], lengthBytes);
  }

  public static RecordedRequest write(long offsetBytes, byte[] payload, boolean durable) {
    return new RecordedRequest(Operation.WRITE, offsetBytes, payload, payload.length, durable);
  }

  public static RecordedRequest flush() {
    return new RecordedRequest(Operation.FLUSH, 0, new byte[0], 0);
  }

  public static RecordedRequest discard(long offsetBytes, long lengthBytes) {
    return new RecordedRequest(Operation.DISCARD, offsetBytes, new byte[0], lengthBytes);
  }

  public static RecordedRequest writeZeroes(
      long offsetBytes, long lengthBytes, boolean durable, boolean mayUnmap) {
    return new RecordedRequest(
        Operation.WRITE_ZEROES, offsetBytes, new byte[0], lengthBytes, durable, mayUnmap);
  }

  /// The same with a registered buffer that is its payload. Nobody sees who fills that, so a READ
  /// need not be given its bytes.
  public RecordedRequest inBuffer(int index) {
    payloadBuffer = index;
    Arrays.fill(stored, true);
    return this;
  }

  /// Whether payload was loaded or stored.
  public boolean copied() {
    return copied;
  }

  @Override
  public int payloadBuffer() {
    return payloadBuffer;
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
  public void loadPayload(long at, MemorySegment into) {
    check(operation == Operation.WRITE, "loads payload of a " + operation);
    check(!end.isDone(), "loads payload after the end");
    copied = true;
    into.copyFrom(payload.asSlice(at, into.byteSize()));
  }

  @Override
  public void storePayload(long at, MemorySegment from) {
    check(operation == Operation.READ, "stores payload of a " + operation);
    check(!end.isDone(), "stores payload after the end");
    copied = true;
    check(at >= 0 && at + from.byteSize() <= lengthBytes, "stores outside the request");
    payload.asSlice(at, from.byteSize()).copyFrom(from);
    for (long i = at; i < at + from.byteSize(); i++) {
      stored[(int) i] = true;
    }
  }

  @Override
  public void complete() {
    for (int i = 0; i < stored.length; i++) {
      check(stored[i], "completes a READ whose byte " + i + " was never supplied");
    }
    check(end.complete(null), "ends twice");
  }

  @Override
  public void fail(IoError error, @Nullable Throwable failure) {
    cause = failure;
    check(end.complete(error), "ends twice");
  }

  /// Waits for the end.
  ///
  /// @return the error, or null for success
  /// @throws AssertionError if it did not end in ten seconds, or the target broke the contract
  public @Nullable IoError await() {
    try {
      IoError error = end.get(60, TimeUnit.SECONDS);
      throwMisuse();
      return error;
    } catch (TimeoutException e) {
      throw new AssertionError(this + " did not end", e);
    } catch (Exception e) {
      throw new AssertionError(e);
    }
  }

  public boolean ended() {
    return end.isDone();
  }

  public @Nullable Throwable cause() {
    return cause;
  }

  /// What a READ was given, or what a WRITE carries.
  public byte[] payload() {
    throwMisuse();
    return payload
        .asSlice(0, operation.hasPayload() ? lengthBytes : 0)
        .toArray(ValueLayout.JAVA_BYTE);
  }

  private void throwMisuse() {
    if (misuse != null) {
      throw misuse;
    }
  }

  private void check(boolean condition, String what) {
    if (!condition) {
      AssertionError error = new AssertionError("the target " + what + ": " + this);
      if (misuse == null) {
        misuse = error;
      }
      throw error;
    }
  }

  @Override
  public String toString() {
    return operation + " " + offsetBytes + "+" + lengthBytes;
  }
}
