package io.ublkbridge.cache;

import io.ublkbridge.target.QueueContext;
import java.lang.foreign.MemorySegment;
import java.util.Map;

/// A level behind the memory, larger and slower than it but faster than the target: asked for a
/// block before the target is, and offered every block that the target gave.
///
/// It stands only in front of a target with a content identity, so that the bytes of a block never
/// change; it need not know of writes. A block is numbered from the start of the disk; it is
/// [CachedTarget]'s block size long, the disk's last one perhaps shorter.
///
/// Opened and closed on control threads. It can lose blocks, but must never give wrong ones.
interface BlockTier extends AutoCloseable {
  /// Opens the lane for one queue; used on that queue's loop only, and closed before this.
  Lane openLane(QueueContext context);

  /// How many blocks all lanes together keep at once beyond [Lane#offer] at most: so much of the
  /// memory is set aside for them.
  int keptBlocksMax();

  /// What a person wants to know: name → value, as in `BlockTarget.details()`. Any thread.
  Map<String, Object> details();

  @Override
  void close();

  /// A queue's way to the tier. Confined to the queue's event loop, except for [#close].
  interface Lane extends AutoCloseable {
    /// Looks a block up. `into` is as long as the block, outside of the heap and aligned to 4096
    /// bytes; it belongs to the tier until the answer, which comes exactly once, on this loop,
    /// perhaps before this method returns.
    ///
    /// After a hit `into` holds the block, whole and checked; after a miss it may hold anything.
    /// What goes wrong is a miss.
    void read(long block, MemorySegment into, Answer answer);

    /// A block came from the target. The tier takes it or not. `filled.memory()` from 0 to
    /// `lengthBytes` is the block, and is not modified any more; it may be read during this call,
    /// and beyond it by whoever calls [BlockBuffer#retain] during this call, until its
    /// [BlockBuffer#release]. At most [BlockTier#keptBlocksMax] may be kept so at once; a tier that
    /// has as many does not take the block.
    void offer(long block, BlockBuffer filled, int lengthBytes);

    /// Called on a control thread after the last answer; waits until nothing is kept any more.
    @Override
    void close();
  }

  /// Takes the answer to a [Lane#read].
  interface Answer {
    void hit();

    void miss();
  }
}
