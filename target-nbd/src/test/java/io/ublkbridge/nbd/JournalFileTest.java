package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.JournalFile.INT;
import static io.ublkbridge.nbd.JournalFile.LONG;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_TRIM;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_WRITE;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.MappedFile;
import io.ublkbridge.target.TargetOpenException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// The file of a write journal: what one process writes another reads, wherever the first was
/// killed, and what is no such file is not taken for one.
final class JournalFileTest {
  private static final JournalLayout LAYOUT = new JournalLayout(2, 16, 6, 4096);
  private static final String IDENTITY = "export 'disk' (a disk)";
  private static final int AT_ONCE = 2;

  @TempDir Path dir;

  private Path path() {
    return dir.resolve("3.journal");
  }

  private JournalFile create() throws IOException {
    return JournalFile.create(path(), LAYOUT, IDENTITY, AT_ONCE);
  }

  private InheritedJournal open() throws TargetOpenException {
    return InheritedJournal.open(path(), IDENTITY);
  }

  private static JournalEntry write(JournalPart part, int index, long number, int pattern) {
    SendBuffer slot = Objects.requireNonNull(part.take(600));
    slot.clear();
    byte[] payload = Bytes.pattern(pattern, 512);
    MemorySegment.copy(payload, 0, slot.memory(), ValueLayout.JAVA_BYTE, 28, payload.length);
    JournalEntry entry = new JournalEntry(index);
    entry.begin(NBD_CMD_WRITE, 1, 4096L * pattern, payload.length);
    entry.payloadIn(slot, 28);
    entry.acknowledged(number);
    part.write(entry);
    return entry;
  }

  private static byte[] payload(JournalEntry entry) {
    return entry.payload(0, entry.lengthBytes()).toArray(ValueLayout.JAVA_BYTE);
  }

  @Test
  void whatOneWritesAnotherReads() throws Exception {
    try (JournalFile file = create()) {
      JournalPart first = file.part(0, AT_ONCE);
      JournalPart second = file.part(1, AT_ONCE);
      write(first, 0, 5, 1);
      write(second, 3, 6, 2);
      JournalEntry trim = new JournalEntry(15);
      trim.begin(NBD_CMD_TRIM, 0, 1L << 40, 1L << 33);
      trim.acknowledged(7);
      second.write(trim);
      assertEquals(
          "rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(path())));
    }
    try (InheritedJournal journal = open()) {
      List<JournalEntry> entries =
          journal.unflushed().stream()
              .sorted(Comparator.comparingLong(JournalEntry::sequence))
              .toList();
      assertNull(journal.loss());
      assertEquals(7, journal.latest());
      assertEquals(List.of(5L, 6L, 7L), entries.stream().map(JournalEntry::sequence).toList());
      assertArrayEquals(Bytes.pattern(1, 512), payload(entries.get(0)));
      assertArrayEquals(Bytes.pattern(2, 512), payload(entries.get(1)));
      assertEquals(4096, entries.getFirst().offsetBytes());
      assertEquals(1, entries.getFirst().flags());
      assertEquals(NBD_CMD_TRIM, entries.getLast().type());
      assertEquals(1L << 40, entries.getLast().offsetBytes());
      assertEquals(1L << 33, entries.getLast().lengthBytes());
      // Only then it is over, for whoever comes next too.
      try (InheritedJournal again = open()) {
        assertEquals(3, again.unflushed().size());
      }
      journal.forget();
    }
    try (InheritedJournal journal = open()) {
      assertEquals(List.of(), journal.unflushed());
      assertEquals(7, journal.latest());
    }
  }

  @Test
  void whatIsFlushedIsNotInIt() throws Exception {
    try (JournalFile file = create()) {
      JournalPart part = file.part(0, AT_ONCE);
      write(part, 0, 1, 1);
      write(part, 1, 2, 2);
      write(part, 2, 3, 3);
      file.marks().flushed(2);
      file.marks().flushed(1);
    }
    try (InheritedJournal journal = open()) {
      assertEquals(List.of(3L), journal.unflushed().stream().map(JournalEntry::sequence).toList());
      assertEquals(3, journal.latest());
    }
  }

  /// The stores of an entry in their order, as position and length; a process may be killed before
  /// the first and behind each.
  private static final int[][] STORES = {
    {0, 8}, {8, 8}, {16, 8}, {24, 8}, {32, 4}, {36, 4}, {0, 8},
  };

  /// One entry takes the place of another that is durable; what is seen is either the new one, as a
  /// whole, or none.
  @Test
  void anEntryIsThereAsAWholeOrNotAtAll() throws Exception {
    for (int stores = 0; stores <= STORES.length; stores++) {
      try (JournalFile file = create()) {
        JournalPart part = file.part(0, AT_ONCE);
        write(part, 4, 1, 1);
        file.marks().flushed(1);
        MemorySegment place = file.memory().asSlice(LAYOUT.entryAt(0, 4), 64);
        byte[] before = place.toArray(ValueLayout.JAVA_BYTE);
        write(part, 4, 2, 2);
        byte[] after = place.toArray(ValueLayout.JAVA_BYTE);
        place.asByteBuffer().put(before);
        for (int i = 0; i < stores; i++) {
          byte[] stored = i == 0 ? new byte[64] : after;
          place.asByteBuffer().put(STORES[i][0], stored, STORES[i][0], STORES[i][1]);
        }
      }
      boolean whole = stores == STORES.length;
      try (InheritedJournal journal = open()) {
        assertNull(journal.loss(), "killed behind store " + stores);
        assertEquals(whole ? 1 : 0, journal.unflushed().size(), "killed behind store " + stores);
        journal
            .unflushed()
            .forEach(entry -> assertArrayEquals(Bytes.pattern(2, 512), payload(entry)));
      }
      Files.delete(path());
    }
  }

  /// Whoever sees a number sees all of what it stands for: seen by a reader that looks all the
  /// time.
  @Test
  void anEntrysNumberComesLastAndGoesFirst() throws Exception {
    try (JournalFile file = create()) {
      JournalPart part = file.part(0, AT_ONCE);
      MemorySegment place = file.memory().asSlice(LAYOUT.entryAt(0, 0), 64);
      AtomicBoolean over = new AtomicBoolean();
      Thread writer =
          Thread.ofPlatform()
              .start(() -> {
                JournalEntry entry = new JournalEntry(0);
                for (long number = 1; number < 2_000_000; number++) {
                  entry.begin(NBD_CMD_TRIM, (int) number, number, number);
                  entry.acknowledged(number);
                  part.write(entry);
                }
                over.set(true);
              });
      var numbers = LONG.varHandle();
      while (!over.get()) {
        long number = (long) numbers.getAcquire(place, 0L);
        int flags = (int) INT.varHandle().getAcquire(place, JournalPart.FLAGS_AT);
        long length = (long) numbers.getAcquire(place, JournalPart.LENGTH_AT);
        long offset = (long) numbers.getAcquire(place, JournalPart.OFFSET_AT);
        if (number != 0 && (long) numbers.getAcquire(place, 0L) == number) {
          assertEquals(number, offset);
          assertEquals(number, length);
          assertEquals(number, flags);
        }
      }
      writer.join();
    }
  }

  private void damage(Consumer<MemorySegment> deed) throws IOException {
    try (JournalFile file = create()) {
      JournalPart part = file.part(0, AT_ONCE);
      write(part, 0, 1, 1);
      deed.accept(file.memory());
    }
  }

  private void assertUnusable(String why) throws TargetOpenException {
    try (InheritedJournal journal = open()) {
      String loss = Objects.requireNonNull(journal.loss());
      assertTrue(loss.contains(why) && loss.contains("3.journal"), loss);
      assertEquals(List.of(), journal.unflushed());
    }
  }

  @Test
  void aDamagedHeaderIsNotBelieved() throws Exception {
    damage(memory -> memory.set(INT, JournalFile.ENTRIES_AT, 17));
    assertUnusable("its header is damaged");
  }

  @Test
  void anotherFileIsNoJournal() throws Exception {
    damage(memory -> memory.set(LONG, 0, 1));
    assertUnusable("it is none");
  }

  @Test
  void theJournalOfAnotherExportIsNotUsed() throws Exception {
    damage(_ -> {});
    try (InheritedJournal journal = InheritedJournal.open(path(), "export 'other' ()")) {
      String loss = Objects.requireNonNull(journal.loss());
      assertTrue(loss.contains("it is of another export"), loss);
    }
  }

  @Test
  void theJournalOfAnotherVersionIsLeftToThatOne() throws Exception {
    damage(memory -> memory.set(INT, JournalFile.VERSION_AT, 2));
    TargetOpenException refused = assertThrows(TargetOpenException.class, this::open);
    assertTrue(String.valueOf(refused.getMessage()).contains("of version 2"), refused.getMessage());
  }

  @ParameterizedTest
  @ValueSource(longs = {0, 4095, 4096, 20_000})
  void aShortFileIsNotReadBehindItsEnd(long bytes) throws Exception {
    damage(_ -> {});
    try (var channel =
        java.nio.channels.FileChannel.open(path(), java.nio.file.StandardOpenOption.WRITE)) {
      channel.truncate(bytes);
    }
    assertUnusable("it is too short");
  }

  @Test
  void aFileThatIsGoneIsMissed() throws Exception {
    assertUnusable("it is gone");
  }

  @Test
  void aDamagedEntryIsNotDoneAgain() throws Exception {
    long entry = LAYOUT.entryAt(0, 0);
    record Damage(String why, Consumer<MemorySegment> deed) {}
    for (Damage each :
        List.of(
            new Damage("is of type 99", m -> m.set(INT, entry + JournalPart.TYPE_AT, 99)),
            new Damage("bytes at -1", m -> m.set(LONG, entry + JournalPart.OFFSET_AT, -1)),
            new Damage("of 0 bytes", m -> m.set(LONG, entry + JournalPart.LENGTH_AT, 0)),
            new Damage("is nowhere", m -> m.set(LONG, entry + JournalPart.LENGTH_AT, 4097)),
            new Damage("is nowhere", m -> m.set(LONG, entry + JournalPart.PAYLOAD_AT, 8)),
            new Damage(
                "is nowhere",
                m -> m.set(LONG, entry + JournalPart.PAYLOAD_AT, LAYOUT.slotAt(1, 0))),
            new Damage(
                "two entries", m -> m.asSlice(entry + 64, 64).copyFrom(m.asSlice(entry, 64))),
            new Damage("the number -5", m -> m.set(LONG, entry, -5)))) {
      damage(each.deed);
      assertUnusable(each.why);
      Files.delete(path());
    }
  }

  @Test
  void aLossThatNobodyWasToldOfIsInherited() throws Exception {
    try (JournalFile file = create()) {
      WriteJournal journal = new WriteJournal(WriteJournal.Mode.KEEP, 1 << 20);
      journal.keepMarksIn(file.marks());
      assertEquals(1, journal.acknowledge());
      journal.lost();
      try (InheritedJournal inherited = open()) {
        assertNotNull(inherited.loss());
      }
      assertTrue(journal.takeLoss());
      assertFalse(journal.takeLoss());
      // Whoever took it may be killed before anybody hears of it.
      try (InheritedJournal inherited = open()) {
        assertNotNull(inherited.loss());
      }
      journal.flushed(journal.mark());
    }
    try (InheritedJournal inherited = open()) {
      assertNull(inherited.loss());
    }
  }

  /// A file system with room for so many slots beyond those that are there at once.
  private static final class Room implements JournalFile.Space {
    int left;

    Room(int slots) {
      left = slots;
    }

    @Override
    public int allocate(long position, long lengthBytes) {
      return left-- > 0 ? 0 : -Errno.ENOSPC;
    }

    @Override
    public int giveBack(long position, long lengthBytes) {
      left++;
      return 0;
    }
  }

  private JournalFile in(Room room) throws IOException {
    MappedFile file = MappedFile.create(path(), LAYOUT.fileBytes());
    return JournalFile.create(file, room, LAYOUT, IDENTITY, AT_ONCE);
  }

  @Test
  void withoutRoomForTheTablesThereIsNone() {
    assertThrows(IOException.class, () -> in(new Room(0)));
    assertFalse(Files.exists(path()));
    // For the slots of queue 1.
    assertThrows(IOException.class, () -> in(new Room(2)));
    assertFalse(Files.exists(path()));
  }

  private static List<SendBuffer> takeAll(JournalPart part) {
    List<SendBuffer> all = new java.util.ArrayList<>();
    while (part.hasFree()) {
      SendBuffer slot = Objects.requireNonNull(part.take(100));
      slot.taken(true);
      slot.keep();
      all.add(slot);
    }
    return all;
  }

  @Test
  void withoutRoomForMoreSlotsThoseThatAreThereMustDo() throws Exception {
    Room room = new Room(3 + 1);
    try (JournalFile file = in(room)) {
      JournalPart part = file.part(0, AT_ONCE);
      assertEquals(1 << 20, part.atMost(1 << 20));
      List<SendBuffer> all = takeAll(part);
      assertEquals(3, all.size(), "two, and the one that there was room for");
      assertNull(part.take(100));
      assertEquals(3 * 4096, part.bytes());
      assertEquals(3 * 4096, part.atMost(1 << 20), "the journal is full earlier");
      all.getFirst().taken(false);
      all.getFirst().letGo();
      assertEquals(all.getFirst(), part.take(100));
      all.getFirst().keep();
      // Looked at again now and then.
      room.left = 1;
      part.giveBackSpare();
      assertEquals(1, takeAll(part).size());
    }
  }

  @Test
  void slotsThatNobodyUsesAreGivenBack() throws Exception {
    Room room = new Room(100);
    JournalLayout many = new JournalLayout(1, 16, 12, 4096);
    MappedFile mapped = MappedFile.create(path(), many.fileBytes());
    try (JournalFile file = JournalFile.create(mapped, room, many, IDENTITY, AT_ONCE)) {
      JournalPart part = file.part(0, AT_ONCE);
      List<SendBuffer> all = takeAll(part);
      assertEquals(12, all.size());
      all.forEach(slot -> {
        slot.taken(false);
        slot.letGo();
      });
      int left = room.left;
      part.giveBackSpare();
      assertEquals(left, room.left, "they were used a moment ago");
      part.giveBackSpare();
      assertEquals(left + 12 - AT_ONCE - 4, room.left);
      assertEquals(6 * 4096, part.bytes());
      assertEquals(12, takeAll(part).size());
    }
  }

  @Test
  void theLayoutHasRoomForEveryRequestAndConnection() {
    JournalLayout layout = JournalLayout.of(4, 16 << 20, (4 << 20) + 32, 16);
    assertEquals((4 << 20) + 4096, layout.slotBytes());
    assertEquals(4 + 16 + 1, layout.slots());
    assertEquals(8192, layout.entries());
    assertEquals(4096, layout.entryAt(0, 0));
    assertEquals(4096 + 4 * 8192 * 64, layout.tablesEnd());
    assertEquals(0, layout.slotAt(3, 20) % 4096);
    assertThrows(IllegalArgumentException.class, () -> new JournalLayout(0, 1, 1, 4096));
    assertThrows(IllegalArgumentException.class, () -> new JournalLayout(1, 1, 1, 4097));
  }
}
