package io.ublkbridge.loop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import io.ublkbridge.target.InternalRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import io.ublkbridge.target.TargetQueue;
import io.ublkbridge.target.UringLoops;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class NullTargetTest {
  @AutoClose private final UringLoops loops = new UringLoops(1);

  @ParameterizedTest
  @EnumSource(Operation.class)
  void completesOnceWithoutTouchingThePayload(Operation operation) {
    NullTarget target = new NullTarget(1 << 20);
    Untouchable request = new Untouchable(operation);

    try (TargetQueue queue = target.openQueue(loops.queueContext(1))) {
      queue.submit(request);
    }

    assertEquals(1, request.completions);
    assertFalse(target.capabilities().volatileCache());
  }

  /// A request whose payload must be left alone.
  private static final class Untouchable extends InternalRequest {
    private int completions;

    Untouchable(Operation operation) {
      super(operation);
    }

    @Override
    public long lengthBytes() {
      return 4096;
    }

    @Override
    public void complete() {
      completions++;
    }

    @Override
    public void fail(IoError error, @Nullable Throwable cause) {
      throw new AssertionError("fails", cause);
    }
  }
}
