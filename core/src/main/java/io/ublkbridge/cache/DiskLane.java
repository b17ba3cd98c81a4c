package io.ublkbridge.cache;

import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.RingFile;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.function.Function;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// One queue's lane to the disk tier. Confined to the queue's event loop, except for [#close].
///
/// ```
/// read   pin the slot → READ into the caller's memory → CRC32C right: hit, wrong: drop, miss
/// offer  take a slot → WRITE from the frame → publish → HEADERS, one page for many blocks
/// ```
///
/// What is under way is bounded, and nothing waits for its turn: a read that finds no operation
/// free is a miss, a block that finds none is not taken.
final class DiskLane implements BlockTier.Lane, RingFile.Completions {
  private static final Logger log = LoggerFactory.getLogger(DiskLane.class);

  static final int READS_MAX = 256;
  static final int WRITES_MAX = 16;
  private static final int HEADERS_MAX = 2;

  /// How often in a row a transfer may be interrupted.
  private static final int RETRIES_MAX = 16;

  private final DiskTier tier;
  private final TierSlots slots;
  private final TierLayout layout;
  private final TierIo io;
  private final Arena arena = Arena.ofShared();
  private final CRC32C crc = new CRC32C();
  private final TierOperation[] operations =
      new TierOperation[READS_MAX + WRITES_MAX + HEADERS_MAX];

  /// One page for each operation that writes headers.
  private final SlotHeaders[] headerPages = new SlotHeaders[HEADERS_MAX];

  /// For the contents' last block, if it does not end with a page: direct I/O needs whole ones.
  private final MemorySegment tail;

  private boolean tailBusy;

  /// Whether the ring takes no more.
  private boolean closing;

  private @Nullable TierOperation idleReads;
  private @Nullable TierOperation idleWrites;
  private @Nullable TierOperation idleHeaders;

  /// @param join makes the way to the file, given where its completions go
  DiskLane(
      DiskTier tier,
      TierSlots slots,
      TierLayout layout,
      Function<RingFile.Completions, TierIo> join) {
    this.tier = tier;
    this.slots = slots;
    this.layout = layout;
    for (int i = 0; i < HEADERS_MAX; i++) {
      headerPages[i] =
          new SlotHeaders(arena.allocate(TierLayout.PAGE_BYTES, TierLayout.PAGE_BYTES));
    }
    this.tail = arena.allocate(layout.slotBytes(), TierLayout.PAGE_BYTES);
    for (int tag = operations.length - 1; tag >= 0; tag--) {
      operations[tag] = new TierOperation(kindOf(tag), tag);
      idle(operations[tag]);
    }
    this.io = join.apply(this);
  }

  private static TierOperation.Kind kindOf(int tag) {
    if (tag < READS_MAX) {
      return TierOperation.Kind.READ;
    }
    return tag < READS_MAX + WRITES_MAX ? TierOperation.Kind.WRITE : TierOperation.Kind.HEADERS;
  }

  @Override
  public void read(long block, MemorySegment into, BlockTier.Answer answer) {
    TierOperation operation = idleReads;
    boolean whole = into.byteSize() % TierLayout.PAGE_BYTES == 0;
    if (operation == null || (!whole && tailBusy)) {
      slots.missed();
      answer.miss();
      return;
    }
    int slot = slots.pin(block);
    if (slot == TierSlots.NONE) {
      answer.miss();
      return;
    }
    idleReads = operation.next;
    operation.number = slot;
    operation.crc = slots.crc(slot);
    operation.memory = into;
    operation.answer = answer;
    MemorySegment buffer = into;
    if (!whole) {
      tailBusy = true;
      buffer = tail;
    }
    int lengthBytes = TierLayout.pages((int) into.byteSize());
    operation.aim(layout.slotPosition(slot), buffer.address(), lengthBytes);
    operation.start(io);
  }

  @Override
  public void offer(long block, BlockBuffer filled, int lengthBytes) {
    TierOperation operation = idleWrites;
    if (operation == null) {
      slots.overloaded();
      return;
    }
    int slot = slots.take(block);
    tier.growIfWanted();
    if (slot == TierSlots.NONE) {
      return;
    }
    idleWrites = operation.next;
    filled.retain();
    operation.number = slot;
    operation.crc = crcOf(filled.memory().asSlice(0, lengthBytes));
    operation.kept = filled;
    // What follows the block in its last page is written too, and never looked at.
    operation.aim(
        layout.slotPosition(slot), filled.memory().address(), TierLayout.pages(lengthBytes));
    operation.start(io);
  }

  @Override
  public void completed(int tag, int result) {
    TierOperation operation = operations[tag];
    try {
      if (result < 0) {
        refused(operation, -result);
      } else if (result == 0) {
        tier.turnOff("is shorter than it was", Errno.EIO);
        end(operation, false);
      } else if (operation.advance(result)) {
        end(operation, true);
      } else {
        again(operation, Errno.EIO);
      }
    } catch (Throwable e) {
      // Netty would keep the loop from others for 100 ms, and lose count of what is under way.
      log.error("cannot end an operation of the disk tier", e);
    }
  }

  private void refused(TierOperation operation, int errno) {
    if (errno == Errno.EINTR || errno == Errno.EAGAIN) {
      again(operation, errno);
    } else {
      failed(operation, errno);
    }
  }

  /// Goes on with a transfer that was interrupted.
  private void again(TierOperation operation, int errno) {
    if (operation.countRetry() <= RETRIES_MAX) {
      operation.start(io);
    } else {
      failed(operation, errno);
    }
  }

  private void failed(TierOperation operation, int errno) {
    if (errno == Errno.ECANCELED) {
      closing = true;
    } else {
      boolean reading = operation.kind() == TierOperation.Kind.READ;
      tier.turnOff(reading ? "cannot be read" : "cannot be written", errno);
    }
    end(operation, false);
  }

  private void end(TierOperation operation, boolean done) {
    switch (operation.kind()) {
      case READ -> endRead(operation, done);
      case WRITE -> endWrite(operation, done);
      case HEADERS -> {
        slots.pageWritten(operation.number, done);
        release(operation);
        writeHeaders();
      }
    }
  }

  private void endRead(TierOperation operation, boolean done) {
    int slot = operation.number;
    MemorySegment into = operation.memory;
    BlockTier.Answer answer = operation.answer;
    boolean right = false;
    if (into.byteSize() % TierLayout.PAGE_BYTES != 0) {
      tailBusy = false;
      into.copyFrom(tail.asSlice(0, into.byteSize()));
    }
    if (done) {
      right = crcOf(into) == operation.crc;
    }
    // The answer may bring the next read at once.
    release(operation);
    if (!done) {
      slots.unread(slot);
    } else if (right) {
      slots.hit(slot);
    } else {
      slots.lost(slot);
      writeHeaders();
    }
    if (answer != null) {
      if (right) {
        answer.hit();
      } else {
        answer.miss();
      }
    }
  }

  private void endWrite(TierOperation operation, boolean done) {
    BlockBuffer kept = operation.kept;
    if (done) {
      slots.written(operation.number, operation.crc);
    } else {
      slots.unwritten(operation.number);
    }
    release(operation);
    if (kept != null) {
      kept.release();
    }
    writeHeaders();
  }

  private void writeHeaders() {
    while (idleHeaders != null && !closing) {
      TierOperation operation = idleHeaders;
      SlotHeaders headers = headerPages[operation.tag() - READS_MAX - WRITES_MAX];
      int page = slots.takePage(headers);
      if (page == TierSlots.NONE) {
        return;
      }
      idleHeaders = operation.next;
      operation.number = page;
      operation.aim(layout.pagePosition(page), headers.memory().address(), TierLayout.PAGE_BYTES);
      operation.start(io);
    }
  }

  private int crcOf(MemorySegment memory) {
    crc.reset();
    crc.update(memory.asByteBuffer());
    return (int) crc.getValue();
  }

  private void release(TierOperation operation) {
    operation.vacate();
    idle(operation);
  }

  private void idle(TierOperation operation) {
    switch (operation.kind()) {
      case READ -> {
        operation.next = idleReads;
        idleReads = operation;
      }
      case WRITE -> {
        operation.next = idleWrites;
        idleWrites = operation;
      }
      case HEADERS -> {
        operation.next = idleHeaders;
        idleHeaders = operation;
      }
    }
  }

  @Override
  public void close() {
    if (io.close()) {
      arena.close();
    } else {
      tier.laneLeft();
    }
  }
}
