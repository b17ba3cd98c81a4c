package io.ublkbridge.loop;

import io.ublkbridge.kernel.IoBuffer;
import io.ublkbridge.target.BlockRequest;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/// The place of one request under way on a file: at which step it is, and how far. Reused for ever.
///
/// Confined to the queue's event loop. At most one step of a slot is under way at a time, so that a
/// completion that names the slot names its step.
final class LoopSlot {
  private final int index;
  private LoopStage stage = LoopStage.SYNC;
  private @Nullable BlockRequest request;
  private @Nullable IoBuffer buffer;
  private MemorySegment memory = MemorySegment.NULL;
  private int payloadBuffer = BlockRequest.NO_BUFFER;
  private long doneBytes;
  private int retries;

  /// The next in whichever list of its queue the slot is.
  @Nullable LoopSlot next;

  LoopSlot(int index) {
    this.index = index;
  }

  int index() {
    return index;
  }

  void occupy(BlockRequest request) {
    assert this.request == null : "the slot is taken";
    this.request = request;
  }

  /// Ends the slot's use; whoever calls takes care of the buffer and the request.
  void vacate() {
    request = null;
    buffer = null;
    memory = MemorySegment.NULL;
    payloadBuffer = BlockRequest.NO_BUFFER;
  }

  boolean occupied() {
    return request != null;
  }

  BlockRequest request() {
    BlockRequest current = request;
    if (current == null) {
      throw new IllegalStateException("the slot is free");
    }
    return current;
  }

  /// Goes to a step's beginning.
  void enter(LoopStage stage) {
    this.stage = stage;
    this.doneBytes = 0;
    this.retries = 0;
  }

  LoopStage stage() {
    return stage;
  }

  void useBuffer(IoBuffer buffer) {
    this.payloadBuffer = BlockRequest.NO_BUFFER;
    this.buffer = buffer;
    this.memory = buffer.view(request().lengthBytes());
  }

  /// Moves bytes between the file and the payload where it is, without memory of ours.
  ///
  /// @param registered a buffer of the ring; see [BlockRequest#payloadBuffer]
  void useInPlace(int registered) {
    this.payloadBuffer = registered;
  }

  /// Whether the payload is used where it is.
  boolean inPlace() {
    return payloadBuffer != BlockRequest.NO_BUFFER;
  }

  int payloadBuffer() {
    return payloadBuffer;
  }

  /// How much of the step is done: where the rest starts in the payload.
  long doneBytes() {
    return doneBytes;
  }

  /// Lets ZERO_PAGES write from these zeroes over and over.
  void useZeroes(MemorySegment zeroes) {
    this.memory = zeroes;
  }

  @Nullable IoBuffer buffer() {
    return buffer;
  }

  MemorySegment memory() {
    return memory;
  }

  /// Where in the file the rest of the step starts.
  long positionBytes() {
    return request().offsetBytes() + doneBytes;
  }

  /// How much of the step is left.
  long remainingBytes() {
    return request().lengthBytes() - doneBytes;
  }

  /// Where the bytes that come next are in memory.
  long address() {
    return memory.address() + (stage == LoopStage.ZERO_PAGES ? 0 : doneBytes);
  }

  /// How many bytes come next.
  int transferBytes() {
    return (int) (inPlace() ? remainingBytes() : Math.min(remainingBytes(), memory.byteSize()));
  }

  void advance(int bytes) {
    doneBytes += bytes;
    retries = 0;
    assert remainingBytes() >= 0 : "moved more than was asked for";
  }

  /// Counts an interruption, and returns how many came in a row.
  int countRetry() {
    return ++retries;
  }
}
