package io.ublkbridge.queue;

import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.TargetQueue;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.random.RandomGenerator;

/// A target queue in memory that answers late, in any order, in pieces, and sometimes with an
/// error.
final class FaultyTarget implements TargetQueue {
  private final RandomGenerator random;
  private final byte[] disk;
  private final List<BlockRequest> held = new ArrayList<>();
  private double failureRate;
  private double atOnceRate;

  FaultyTarget(RandomGenerator random, byte[] disk) {
    this.random = random;
    this.disk = disk.clone();
  }

  FaultyTarget failureRate(double rate) {
    failureRate = rate;
    return this;
  }

  /// How often a request ends before [#submit] returns.
  FaultyTarget atOnceRate(double rate) {
    atOnceRate = rate;
    return this;
  }

  @Override
  public void submit(BlockRequest request) {
    if (random.nextDouble() < atOnceRate) {
      end(request);
    } else {
      held.add(request);
    }
  }

  /// Ends one of the requests held, not necessarily the oldest.
  boolean endOne() {
    if (held.isEmpty()) {
      return false;
    }
    end(held.remove(random.nextInt(held.size())));
    return true;
  }

  List<BlockRequest> held() {
    return held;
  }

  private void end(BlockRequest request) {
    if (random.nextDouble() < failureRate) {
      request.fail(IoError.IO, null);
      return;
    }
    int offset = (int) request.offsetBytes();
    int length = (int) request.lengthBytes();
    switch (request.operation()) {
      case READ ->
          inPieces(length, (at, size) -> request.storePayload(at, slice(offset + at, size)));
      case WRITE -> {
        // All or nothing, as a real target's transaction: a failed copy must not change the disk.
        byte[] payload = new byte[length];
        MemorySegment memory = MemorySegment.ofArray(payload);
        inPieces(length, (at, size) -> request.loadPayload(at, memory.asSlice(at, size)));
        System.arraycopy(payload, 0, disk, offset, length);
      }
      case DISCARD, WRITE_ZEROES -> Arrays.fill(disk, offset, offset + length, (byte) 0);
      case FLUSH -> {}
    }
    request.complete();
  }

  private MemorySegment slice(int offset, int size) {
    return MemorySegment.ofArray(disk).asSlice(offset, size);
  }

  private interface Piece {
    void copy(int at, int size);
  }

  /// Two pieces of any sizes, the second half first.
  private void inPieces(int length, Piece piece) {
    int cut = random.nextInt(length + 1);
    piece.copy(cut, length - cut);
    piece.copy(0, cut);
  }

  @Override
  public void close() {}
}
