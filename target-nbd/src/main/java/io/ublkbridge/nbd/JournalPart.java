package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.JournalFile.INT;
import static io.ublkbridge.nbd.JournalFile.LONG;

import io.netty.buffer.Unpooled;
import io.ublkbridge.kernel.Errno;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// One queue's part of a [JournalFile]: a table of entries, and slots that requests are sent from,
/// where the payload of a write stays as long as its entry counts.
///
/// A slot gets its room in the file system when it is first needed. Where there is none, those that
/// have theirs must do: the journal is full earlier. Confined to the queue's event loop.
final class JournalPart {
  private static final Logger LOG = LoggerFactory.getLogger(JournalPart.class);

  static final long OFFSET_AT = 8;
  static final long LENGTH_AT = 16;
  static final long PAYLOAD_AT = 24;
  static final long TYPE_AT = 32;
  static final long FLAGS_AT = 36;

  private static final VarHandle NUMBER = LONG.varHandle();

  private static final int SPARE_MAX = 4;

  private final JournalFile.Space space;
  private final JournalLayout layout;
  private final MemorySegment memory;
  private final int queue;
  private final int slotsAtOnce;

  /// Null for a slot without room.
  private final @Nullable SendBuffer[] slots;

  /// Whether a slot was used since the last [#giveBackSpare].
  private final boolean[] used;

  private long bytes;

  /// Where a free slot was found last.
  private int likely;

  /// Whether there was no room for one more slot when one was last needed.
  private boolean full;

  private boolean fullWasSaid;

  JournalPart(JournalFile file, int queue, int slotsAtOnce) {
    this.space = file.space();
    this.layout = file.layout();
    this.memory = file.memory();
    this.queue = queue;
    this.slotsAtOnce = slotsAtOnce;
    this.slots = new SendBuffer[layout.slots()];
    this.used = new boolean[layout.slots()];
    for (int index = 0; index < slotsAtOnce; index++) {
      slots[index] = slot(index);
      bytes += layout.slotBytes();
    }
  }

  private SendBuffer slot(int index) {
    long at = layout.slotAt(queue, index);
    MemorySegment segment = memory.asSlice(at, layout.slotBytes());
    return new SendBuffer(Unpooled.wrappedBuffer(segment.asByteBuffer()), segment, at);
  }

  /// How many modifications can be remembered.
  int entriesMax() {
    return layout.entries();
  }

  /// Writes down an entry that the server has acknowledged. Whoever asked for it is told
  /// afterwards.
  void write(JournalEntry entry) {
    long at = layout.entryAt(queue, entry.index());
    NUMBER.set(memory, at, 0L);
    VarHandle.storeStoreFence();
    memory.set(LONG, at + OFFSET_AT, entry.offsetBytes());
    memory.set(LONG, at + LENGTH_AT, entry.lengthBytes());
    memory.set(LONG, at + PAYLOAD_AT, entry.payloadPosition());
    memory.set(INT, at + TYPE_AT, entry.type());
    memory.set(INT, at + FLAGS_AT, entry.flags());
    NUMBER.setRelease(memory, at, entry.sequence());
  }

  /// Whether [#take] has a slot for a request of any length.
  boolean hasFree() {
    return free() >= 0;
  }

  /// A slot that nobody uses, or null if there is none.
  ///
  /// @param needed the request's length; no slot is longer than the longest request
  @Nullable SendBuffer take(int needed) {
    int index = needed <= layout.slotBytes() ? free() : -1;
    if (index < 0) {
      return null;
    }
    used[index] = true;
    return slots[index];
  }

  /// The number of a slot with room that nobody uses, or -1.
  private int free() {
    if (isFree(likely)) {
      return likely;
    }
    int without = -1;
    for (int index = 0; index < slots.length; index++) {
      if (isFree(index)) {
        likely = index;
        return index;
      }
      if (without < 0 && slots[index] == null) {
        without = index;
      }
    }
    return without >= 0 && !full ? makeRoom(without) : -1;
  }

  private boolean isFree(int index) {
    SendBuffer slot = slots[index];
    return slot != null && !slot.isTaken() && slot.isUnused();
  }

  private int makeRoom(int index) {
    int result = space.allocate(layout.slotAt(queue, index), layout.slotBytes());
    if (result != 0) {
      full = true;
      if (!fullWasSaid) {
        fullWasSaid = true;
        LOG.warn(
            "NBD: no room for more of the write journal ({}): queue {} flushes after {} MiB",
            Errno.describe(-result),
            queue,
            (bytes / 2) >> 20);
      }
      return -1;
    }
    fullWasSaid = false;
    slots[index] = slot(index);
    bytes += layout.slotBytes();
    likely = index;
    return index;
  }

  /// Gives back the room of slots that nobody has used since the last call, but for a few. To be
  /// called now and then.
  void giveBackSpare() {
    full = false;
    int spare = 0;
    for (int index = 0; index < slots.length; index++) {
      boolean idle = isFree(index) && !used[index];
      used[index] = false;
      if (idle && index >= slotsAtOnce && ++spare > SPARE_MAX) {
        if (space.giveBack(layout.slotAt(queue, index), layout.slotBytes()) == 0) {
          slots[index] = null;
          bytes -= layout.slotBytes();
        }
      }
    }
  }

  /// How much of `wanted` bytes can be used at the moment.
  long atMost(long wanted) {
    return full ? Math.min(wanted, bytes) : wanted;
  }

  /// How much memory has room, used or not.
  long bytes() {
    return bytes;
  }

  /// How much memory is needed by somebody.
  long usedBytes() {
    long all = 0;
    for (SendBuffer slot : slots) {
      all += slot == null || slot.isUnused() ? 0 : layout.slotBytes();
    }
    return all;
  }
}
