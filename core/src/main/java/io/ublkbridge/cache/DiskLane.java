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

  private static final int READS_MAX = 256;
  private static final int WRITES_MAX = 16;
  private static final int HEADERS_MAX = 2;

  /// How often in a row a transfer may be interrupted.
  private static final int RETRIES_MAX = 16;

  private final DiskTier tier;
  private final TierSlots slots;
  private final TierLayout layout;
  private final TierIdentity identity;
  private final TierIo io;
  private final Arena arena = Arena.ofShared();
  private final CRC32C crc = new CRC32C();
  private final TierOperation[] operations =
      new TierOperation[READS_MAX + WRITES_MAX + HEADERS_MAX];
  private final MemorySegment[] headerPages = new MemorySegment[HEADERS_MAX];

  /// For the contents' last block, if its end is not that of a page: direct I/O needs whole ones.
  private final MemorySegment tail;

  private boolean tailBusy;
  private boolean closing;
  private @Nullable TierOperation idleReads;
  private @Nullable TierOperation idleWrites;
  private @Nullable TierOperation idleHeaders;
}
