package io.ublkbridge.overlay;

import io.ublkbridge.kernel.IoBuffer;
import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.IoError;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/// The place of one request under way on an overlay. Reused for ever.
///
/// Confined to the queue's event loop. It has at most one operation on the file and one request to
/// the base under way.
final class OverlaySlot {
  /// What a request is waiting for.
  enum Stage {
    /// Others that change a block of its own.
    CLAIM,
    /// Bytes from the file, or from the base, or both.
    READ,
    /// The base's bytes of a block that is changed in part.
    FILL,
    /// Bytes to the file.
    WRITE,
    /// Room to be given back.
    PUNCH,
    /// Everything before becoming durable.
    SYNC
  }

  private final int index;
  private final BasePart basePart;
  private @Nullable BlockRequest request;
  private @Nullable IoBuffer buffer;
  private MemorySegment memory = MemorySegment.NULL;
  private long memoryStart;
  private int retries;

  /// Where each block of a READ was when it began.
  final BlockState[] places;

  Stage stage = Stage.SYNC;

  /// The next in whichever list of its queue the slot is.
  @Nullable OverlaySlot next;

  /// The blocks that a modification touches, the end excluded.
  long firstBlock;

  long endBlock;

  /// The range of the disk that a modification is at now, and the range that is written for it,
  /// which may be more: whole blocks where they come from elsewhere.
  long patchFrom;

  long patchTo;
  long transferFrom;
  long transferTo;

  /// Whether the first, the last block of the patch still lack the bytes around it.
  boolean fillFirst;

  boolean fillLast;

  /// How many parts of a DISCARD or WRITE_ZEROES are done.
  int step;

  /// What a READ is still waiting for, and what went wrong so far.
  int pieces;

  @Nullable IoError error;
  @Nullable Throwable cause;

  /// @param blocksMax how many blocks a READ can touch
  OverlaySlot(int index, int blocksMax, OverlayQueue queue) {
    this.index = index;
    this.places = new BlockState[blocksMax];
    this.basePart = new BasePart(this, queue);
  }

  int index() {
    return index;
  }

  BasePart basePart() {
    return basePart;
  }

  void occupy(BlockRequest request) {
    assert this.request == null : "the slot is taken";
    this.request = request;
    step = 0;
    pieces = 0;
    retries = 0;
    error = null;
    cause = null;
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

  /// Where the request's range ends.
  long endBytes() {
    return request().offsetBytes() + request().lengthBytes();
  }

  /// Ends the slot's use; whoever calls has taken the buffer and takes care of the request.
  void vacate() {
    request = null;
  }

  /// Gives up the buffer, if there is one.
  @Nullable IoBuffer takeBuffer() {
    IoBuffer taken = buffer;
    buffer = null;
    memory = MemorySegment.NULL;
    return taken;
  }

  /// Lets the buffer stand for a range of the disk.
  void useBuffer(IoBuffer buffer, long from, long to) {
    this.buffer = buffer;
    this.memory = buffer.view(to - from);
    this.memoryStart = from;
    this.transferFrom = from;
    this.transferTo = to;
  }

  MemorySegment memory() {
    return memory;
  }

  long memoryStart() {
    return memoryStart;
  }

  /// The memory of a range of the disk.
  MemorySegment memory(long from, long to) {
    if (from == memoryStart && to - from == memory.byteSize()) {
      return memory;
    }
    return memory.asSlice(from - memoryStart, to - from);
  }

  /// Where the bytes that are transferred next are in memory.
  long address() {
    return memory.address() + transferFrom - memoryStart;
  }

  int transferBytes() {
    return Math.toIntExact(transferTo - transferFrom);
  }

  void advance(int bytes) {
    transferFrom += bytes;
    retries = 0;
    assert transferFrom <= transferTo : "moved more than was asked for";
  }

  /// Counts an interruption, and returns how many came in a row.
  int countRetry() {
    return ++retries;
  }

  boolean overlaps(OverlaySlot other) {
    return firstBlock < other.endBlock && other.firstBlock < endBlock;
  }
}
