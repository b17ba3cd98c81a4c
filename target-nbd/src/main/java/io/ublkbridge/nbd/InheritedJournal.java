package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.JournalFile.INT;
import static io.ublkbridge.nbd.JournalFile.LONG;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_TRIM;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_WRITE;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_WRITE_ZEROES;

import io.ublkbridge.kernel.MappedFile;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// The write journal of a process that is gone: what its server has acknowledged, and may have lost
/// since if that crashed too.
///
/// Stays as it is until [#forget], so that whoever is killed before that leaves it to the next. For
/// one thread at a time; the entries' payloads are readable until then.
final class InheritedJournal implements AutoCloseable {
  /// That a file is not what a process has left in it.
  private static final class DamageException extends Exception {
    private static final long serialVersionUID = 1L;

    DamageException(String what) {
      super(what);
    }
  }

  private final @Nullable MappedFile file;
  private final List<JournalEntry> unflushed = new ArrayList<>();
  private @Nullable JournalLayout layout;
  private @Nullable String loss;
  private long latest;

  private InheritedJournal(@Nullable MappedFile file) {
    this.file = file;
  }

  /// Reads one.
  ///
  /// @param identity of the export that it must be of
  /// @throws TargetOpenException if it cannot be read now, though another program or a later
  ///   attempt could
  static InheritedJournal open(Path path, String identity) throws TargetOpenException {
    MappedFile file;
    try {
      if (Files.size(path) < JournalLayout.PAGE_BYTES) {
        return lost(path, "it is too short");
      }
      file = MappedFile.open(path);
    } catch (NoSuchFileException e) {
      return lost(path, "it is gone");
    } catch (IOException e) {
      throw new TargetOpenException(
          Reason.FAILED, "cannot read the write journal: " + e.getMessage(), null, e);
    }
    InheritedJournal journal = new InheritedJournal(file);
    try {
      journal.read(file, identity);
    } catch (DamageException e) {
      journal.close();
      return lost(path, String.valueOf(e.getMessage()));
    } catch (TargetOpenException | RuntimeException e) {
      journal.close();
      throw e;
    }
    return journal;
  }

  private static InheritedJournal lost(Path path, String why) {
    InheritedJournal journal = new InheritedJournal(null);
    journal.loss =
        "the write journal %s cannot be used (%s), so writes may be lost".formatted(path, why);
    return journal;
  }

  private void read(MappedFile from, String identity) throws DamageException, TargetOpenException {
    MemorySegment memory = from.memory();
    // What has no room must not be touched, and no file of ours has less.
    require(from.allocate(0, JournalLayout.PAGE_BYTES) == 0, "it has no room for its header");
    require(memory.get(LONG, 0) == JournalFile.MAGIC, "it is none");
    int version = memory.get(INT, JournalFile.VERSION_AT);
    if (version != JournalFile.VERSION) {
      throw new TargetOpenException(
          Reason.FAILED,
          "the write journal %s is of version %d, and this program knows %d"
              .formatted(from.path(), version, JournalFile.VERSION),
          "recover with the program that wrote it; or detach --force, which fails all I/O that"
              + " waits");
    }
    require(
        memory.get(INT, JournalFile.CRC_AT) == JournalFile.headerCrc(memory),
        "its header is damaged");
    MemorySegment digest =
        memory.asSlice(JournalFile.IDENTITY_AT, JournalFile.CRC_AT - JournalFile.IDENTITY_AT);
    require(
        digest.mismatch(MemorySegment.ofArray(JournalFile.digest(identity))) == -1,
        "it is of another export than " + identity);
    JournalLayout found = layout(memory);
    require(memory.byteSize() >= found.fileBytes(), "it is too short");
    require(from.allocate(0, found.tablesEnd()) == 0, "it has no room for its tables");
    layout = found;
    readEntries(from, found);
  }

  private static JournalLayout layout(MemorySegment memory) throws DamageException {
    try {
      return new JournalLayout(
          memory.get(INT, JournalFile.QUEUES_AT),
          memory.get(INT, JournalFile.ENTRIES_AT),
          memory.get(INT, JournalFile.SLOTS_AT),
          memory.get(INT, JournalFile.SLOT_BYTES_AT));
    } catch (IllegalArgumentException e) {
      throw new DamageException("its header is damaged: " + e.getMessage());
    }
  }

  private void readEntries(MappedFile from, JournalLayout found) throws DamageException {
    JournalMarks marks = marks(from);
    long durable = marks.flushedThrough();
    latest = durable;
    if (marks.lossUnreported()) {
      loss = "writes were lost with the NBD server before, and nobody was told";
    }
    Set<Long> numbers = new HashSet<>();
    for (int queue = 0; queue < found.queues(); queue++) {
      for (int index = 0; index < found.entries(); index++) {
        long at = found.entryAt(queue, index);
        long number = from.memory().get(LONG, at);
        if (number > durable) {
          unflushed.add(entry(from, found, queue, at, number));
          require(numbers.add(number), "two entries have the number " + number);
          latest = Math.max(latest, number);
        } else {
          require(number >= 0, "an entry has the number " + number);
        }
      }
    }
  }

  private static JournalEntry entry(
      MappedFile from, JournalLayout found, int queue, long at, long number)
      throws DamageException {
    MemorySegment memory = from.memory();
    long offset = memory.get(LONG, at + JournalPart.OFFSET_AT);
    long length = memory.get(LONG, at + JournalPart.LENGTH_AT);
    long payload = memory.get(LONG, at + JournalPart.PAYLOAD_AT);
    int type = memory.get(INT, at + JournalPart.TYPE_AT);
    int flags = memory.get(INT, at + JournalPart.FLAGS_AT);
    boolean write = type == NBD_CMD_WRITE;
    require(
        write || type == NBD_CMD_TRIM || type == NBD_CMD_WRITE_ZEROES,
        "entry " + number + " is of type " + type);
    require(
        offset >= 0 && length > 0 && length <= Long.MAX_VALUE - offset,
        "entry " + number + " is of " + length + " bytes at " + offset);
    if (!write) {
      return JournalEntry.inherited(number, type, flags, offset, length, MemorySegment.NULL);
    }
    long first = found.slotAt(queue, 0);
    long slot = payload < first ? -1 : (payload - first) / found.slotBytes();
    require(
        slot >= 0
            && slot < found.slots()
            && length <= found.slotBytes()
            && payload + length <= found.slotAt(queue, (int) slot) + found.slotBytes()
            && from.allocate(payload, length) == 0,
        "the payload of entry " + number + " is nowhere");
    return JournalEntry.inherited(
        number, type, flags, offset, length, memory.asSlice(payload, length));
  }

  private static JournalMarks marks(MappedFile from) {
    return new JournalMarks(from.memory().asSlice(JournalFile.MARKS_AT, JournalMarks.BYTES));
  }

  private static void require(boolean condition, String otherwise) throws DamageException {
    if (!condition) {
      throw new DamageException(otherwise);
    }
  }

  /// What must be done again, in no order.
  List<JournalEntry> unflushed() {
    return unflushed;
  }

  /// The highest number in it.
  long latest() {
    return latest;
  }

  /// Why something that was acknowledged is lost, or may be, whatever is done now; or null.
  @Nullable String loss() {
    return loss;
  }

  /// Everything in it is durable by now: it says so, and keeps little room.
  void forget() {
    MappedFile from = file;
    JournalLayout known = layout;
    if (from != null && known != null) {
      marks(from).flushed(latest);
      unflushed.clear();
      from.giveBack(known.tablesEnd(), known.fileBytes() - known.tablesEnd());
    }
  }

  @Override
  public void close() {
    if (file != null) {
      file.close();
    }
  }
}
