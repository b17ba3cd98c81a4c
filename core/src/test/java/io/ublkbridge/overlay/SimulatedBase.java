package io.ublkbridge.overlay;

import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import io.ublkbridge.target.TargetQueue;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/// A base that answers when [#step] says so, in pieces, in any order, and sometimes with an error.
/// Whoever asks for anything but a READ has broken its promise.
final class SimulatedBase implements TargetQueue {
  private final SplittableRandom random;
  private final int depth;
  private final int failPercent;
  private final List<BlockRequest> pending = new ArrayList<>();

  SimulatedBase(SplittableRandom random, int depth, int failPercent) {
    this.random = random;
    this.depth = depth;
    this.failPercent = failPercent;
  }

  @Override
  public void submit(BlockRequest request) {
    if (request.operation() != Operation.READ) {
      throw new AssertionError("the base was asked for a " + request.operation());
    }
    pending.add(request);
    if (pending.size() > depth) {
      throw new AssertionError("the base was asked for more than its depth");
    }
  }

  boolean idle() {
    return pending.isEmpty();
  }

  void step() {
    BlockRequest request = pending.remove(random.nextInt(pending.size()));
    if (random.nextInt(100) < failPercent) {
      request.fail(IoError.UNREACHABLE, null);
      return;
    }
    long offset = request.offsetBytes();
    int length = (int) request.lengthBytes();
    byte[] bytes = new byte[length];
    for (int at = 0; at < length; at += SimulatedFile.SECTOR) {
      SectorBytes.fill(bytes, at, SectorBytes.BASE, (offset + at) / SimulatedFile.SECTOR);
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment memory = arena.allocate(length);
      MemorySegment.copy(bytes, 0, memory, ValueLayout.JAVA_BYTE, 0, length);
      int cut = random.nextInt(length / SimulatedFile.SECTOR) * SimulatedFile.SECTOR;
      if (cut > 0) {
        request.storePayload(cut, memory.asSlice(cut));
        request.storePayload(0, memory.asSlice(0, cut));
      } else {
        request.storePayload(0, memory);
      }
    }
    request.complete();
  }

  @Override
  public void close() {}
}
