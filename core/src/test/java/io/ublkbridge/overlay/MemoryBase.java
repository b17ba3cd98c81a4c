package io.ublkbridge.overlay;

import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.FixedTarget;
import io.ublkbridge.target.ForwardingTarget;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import io.ublkbridge.target.TargetQueue;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Optional;

/// A base in memory. Whoever asks for anything but a READ has broken its promise.
final class MemoryBase extends ForwardingTarget {
  private final String identity;

  /// @param identity of the contents, or empty
  MemoryBase(byte[] bytes, String identity) {
    super(
        new FixedTarget(
            new Geometry(bytes.length, 512, 4096, 1 << 20, 1 << 20),
            new Capabilities(true, false, false, false, false, false, 4),
            new Lane(bytes)));
    this.identity = identity;
  }

  @Override
  public Optional<String> contentIdentity() {
    return identity.isEmpty() ? Optional.empty() : Optional.of(identity);
  }

  private static final class Lane implements TargetQueue {
    private final byte[] bytes;

    Lane(byte[] bytes) {
      this.bytes = bytes;
    }

    @Override
    public void submit(BlockRequest request) {
      if (request.operation() != Operation.READ) {
        throw new AssertionError("the base was asked for a " + request.operation());
      }
      int at = (int) request.offsetBytes();
      int length = (int) request.lengthBytes();
      if (bytes[at] == BAD) {
        request.fail(IoError.UNREACHABLE, null);
        return;
      }
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment memory = arena.allocate(length);
        memory.copyFrom(MemorySegment.ofArray(bytes).asSlice(at, length));
        request.storePayload(0, memory);
      }
      request.complete();
    }

    @Override
    public void close() {}
  }

  /// A READ that starts with this byte fails.
  static final byte BAD = 99;
}
