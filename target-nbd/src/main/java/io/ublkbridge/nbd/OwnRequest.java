package io.ublkbridge.nbd;

import io.ublkbridge.target.InternalRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import java.lang.foreign.MemorySegment;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/// A request that nobody outside asked for: a FLUSH for the journal's sake, a READ to see whether
/// the server is alive, a write done again. It is not sent again when its connection is lost.
final class OwnRequest extends InternalRequest {
  private final long offsetBytes;
  private final long lengthBytes;
  private final MemorySegment payload;
  private final Consumer<@Nullable IoError> end;

  private OwnRequest(
      Operation operation,
      long offsetBytes,
      long lengthBytes,
      MemorySegment payload,
      Consumer<@Nullable IoError> end) {
    super(operation);
    this.offsetBytes = offsetBytes;
    this.lengthBytes = lengthBytes;
    this.payload = payload;
    this.end = end;
  }

  /// @param end told the error, or null for success
  static OwnRequest flush(Consumer<@Nullable IoError> end) {
    return new OwnRequest(Operation.FLUSH, 0, 0, MemorySegment.NULL, end);
  }

  /// A READ whose data nobody wants.
  static OwnRequest probe(long lengthBytes, Consumer<@Nullable IoError> end) {
    return new OwnRequest(Operation.READ, 0, lengthBytes, MemorySegment.NULL, end);
  }

  static OwnRequest write(long offset, MemorySegment payload, Consumer<@Nullable IoError> end) {
    return new OwnRequest(Operation.WRITE, offset, payload.byteSize(), payload, end);
  }

  static OwnRequest zero(
      Operation operation, long offset, long length, Consumer<@Nullable IoError> end) {
    return new OwnRequest(operation, offset, length, MemorySegment.NULL, end);
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
  public void loadPayload(long at, MemorySegment into) {
    MemorySegment.copy(payload, at, into, 0, into.byteSize());
  }

  @Override
  public void storePayload(long at, MemorySegment from) {}

  @Override
  public void complete() {
    end.accept(null);
  }

  @Override
  public void fail(IoError error, @Nullable Throwable cause) {
    end.accept(error);
  }
}
