package io.ublkbridge.nbd;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;

/// What a write journal says of all of its entries at once, in memory that may be a file's: up to
/// which number they are durable, and whether some are lost and nobody was told yet.
///
/// All methods may be called from every thread, and from a process while another writes.
final class JournalMarks {
  /// Each has a cache line of its own.
  static final int BYTES = 128;

  private static final long FLUSHED = 0;
  private static final long LOSS = 64;

  private static final VarHandle LONG = JournalFile.LONG.varHandle();

  private final MemorySegment memory;

  /// @param memory of [#BYTES] bytes
  JournalMarks(MemorySegment memory) {
    this.memory = memory;
  }

  /// Marks that end with this process.
  static JournalMarks passing() {
    return new JournalMarks(Arena.ofAuto().allocate(BYTES, Long.BYTES));
  }

  long flushedThrough() {
    return (long) LONG.getAcquire(memory, FLUSHED);
  }

  /// Entries up to this number are durable, and more if that was known before.
  void flushed(long mark) {
    long before = flushedThrough();
    while (before < mark && !LONG.compareAndSet(memory, FLUSHED, before, mark)) {
      before = flushedThrough();
    }
  }

  boolean lossUnreported() {
    return (long) LONG.getAcquire(memory, LOSS) != 0;
  }

  void lost() {
    LONG.setRelease(memory, LOSS, 1L);
  }

  /// Whoever had to hear of the loss has.
  void lossReported() {
    LONG.setRelease(memory, LOSS, 0L);
  }
}
