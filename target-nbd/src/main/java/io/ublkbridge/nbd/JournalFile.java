package io.ublkbridge.nbd;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.MappedFile;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.zip.CRC32C;

/// A write journal that outlives its process: the tables of all queues and the payloads, in a file
/// that is mapped into memory. [JournalLayout] says where; all numbers are little-endian.
///
/// ```
/// header:   0  "ublkjrnl"                    8      entry:  0  number, 0 for none    8
///           8  version                       4              8  offset                8
///          12  queues                        4             16  length                8
///          16  entries of a queue            4             24  payload in the file   8
///          20  slots of a queue              4             32  type                  4
///          24  bytes of a slot               4             36  flags                 4
///          32  SHA-256 of the export        32             40  nothing              24
///          64  CRC32C of bytes 0..63         4
///         128  durable through this number   8
///         192  1 if a loss is unreported     8
/// ```
///
/// The machine lives on when a process is killed, and with it every store that the process has
/// made, in their order. So an entry counts from the moment that its number is stored, which is
/// after all else of it and before anybody hears that the write is done; and it counts no more from
/// the moment that the mark has reached its number, which is before a FLUSH ends, or its slot is
/// used again.
///
/// Memory without room in the file system is never touched: tables and a few slots get theirs at
/// once, or there is no journal, every other slot when it is first needed ([JournalPart]).
final class JournalFile implements AutoCloseable {
  static final int VERSION = 1;
  static final long MAGIC = 0x6c6e726a6b6c6275L;

  static final long VERSION_AT = 8;
  static final long QUEUES_AT = 12;
  static final long ENTRIES_AT = 16;
  static final long SLOTS_AT = 20;
  static final long SLOT_BYTES_AT = 24;
  static final long IDENTITY_AT = 32;
  static final long CRC_AT = 64;
  static final long MARKS_AT = 128;

  static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT.withOrder(ByteOrder.LITTLE_ENDIAN);
  static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG.withOrder(ByteOrder.LITTLE_ENDIAN);

  /// Makes room in the file system; a test has one that is full when it likes.
  interface Space {
    /// Makes room for a range.
    ///
    /// @return 0, or a negative error number
    int allocate(long position, long lengthBytes);

    /// Gives room back.
    ///
    /// @return 0, or a negative error number; nothing has changed then
    int giveBack(long position, long lengthBytes);

    static Space of(MappedFile file) {
      return new Space() {
        @Override
        public int allocate(long position, long lengthBytes) {
          return file.allocate(position, lengthBytes);
        }

        @Override
        public int giveBack(long position, long lengthBytes) {
          return file.giveBack(position, lengthBytes);
        }
      };
    }
  }

  private final MappedFile file;
  private final Space space;
  private final JournalLayout layout;

  private JournalFile(MappedFile file, Space space, JournalLayout layout) {
    this.file = file;
    this.space = space;
    this.layout = layout;
  }

  /// Makes an empty one.
  ///
  /// @param identity of the export
  /// @param slotsAtOnce how many slots of each queue get their room now, so that none is ever
  ///   without
  /// @throws IOException if there is no room for it; nothing is left behind then
  static JournalFile create(Path path, JournalLayout layout, String identity, int slotsAtOnce)
      throws IOException {
    MappedFile file = MappedFile.create(path, layout.fileBytes());
    return create(file, Space.of(file), layout, identity, slotsAtOnce);
  }

  static JournalFile create(
      MappedFile file, Space space, JournalLayout layout, String identity, int slotsAtOnce)
      throws IOException {
    int result = space.allocate(0, layout.tablesEnd());
    for (int queue = 0; queue < layout.queues() && result == 0; queue++) {
      result = space.allocate(layout.slotAt(queue, 0), (long) slotsAtOnce * layout.slotBytes());
    }
    if (result != 0) {
      file.close();
      Files.deleteIfExists(file.path());
      throw new IOException("no room for " + file.path() + ": " + Errno.describe(-result));
    }
    JournalFile made = new JournalFile(file, space, layout);
    made.writeHeader(identity);
    return made;
  }

  private void writeHeader(String identity) {
    MemorySegment memory = file.memory();
    memory.set(LONG, 0, MAGIC);
    memory.set(INT, VERSION_AT, VERSION);
    memory.set(INT, QUEUES_AT, layout.queues());
    memory.set(INT, ENTRIES_AT, layout.entries());
    memory.set(INT, SLOTS_AT, layout.slots());
    memory.set(INT, SLOT_BYTES_AT, layout.slotBytes());
    MemorySegment.copy(
        MemorySegment.ofArray(digest(identity)), 0, memory, IDENTITY_AT, CRC_AT - IDENTITY_AT);
    memory.set(INT, CRC_AT, headerCrc(memory));
  }

  /// Fits any name in the space of one.
  static byte[] digest(String identity) {
    try {
      return MessageDigest.getInstance("SHA-256").digest(identity.getBytes(UTF_8));
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError(e);
    }
  }

  static int headerCrc(MemorySegment memory) {
    CRC32C crc = new CRC32C();
    crc.update(memory.asSlice(0, CRC_AT).asByteBuffer());
    return (int) crc.getValue();
  }

  JournalLayout layout() {
    return layout;
  }

  Path path() {
    return file.path();
  }

  MemorySegment memory() {
    return file.memory();
  }

  Space space() {
    return space;
  }

  JournalMarks marks() {
    return new JournalMarks(file.memory().asSlice(MARKS_AT, JournalMarks.BYTES));
  }

  /// What one queue writes to.
  ///
  /// @param slotsAtOnce as at its creation
  JournalPart part(int queue, int slotsAtOnce) {
    return new JournalPart(this, queue, slotsAtOnce);
  }

  /// Slots can be had no more; what is mapped stays. The file stays too.
  @Override
  public void close() {
    file.close();
  }
}
