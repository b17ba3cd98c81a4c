package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_FLUSH;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_READ;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_WRITE;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_WRITE_ZEROES;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.kernel.Deadline;
import io.ublkbridge.nbd.ScriptedServer.Request;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.RecordedRequest;
import io.ublkbridge.target.SuccessionFile;
import io.ublkbridge.target.TargetOpenException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A process that dies together with its NBD server, on real sockets: its successor does again what
/// was acknowledged and not flushed, before anything else.
final class JournalSuccessionTest {
  private static final int SIZE = 64 << 20;
  private static final int FLAGS = MemoryServer.ALL_FLAGS;

  @TempDir Path dir;

  private final VolatileServer server = new VolatileServer(SIZE, FLAGS);

  private Path path() {
    return dir.resolve("3.journal");
  }

  private Opened first(ScriptedServer at) throws Exception {
    return first(at, 1);
  }

  private Opened first(ScriptedServer at, int queues) throws Exception {
    return Opened.lasting(at.uri("vol"), queues, Map.of(), new SuccessionFile(path(), false));
  }

  private Opened successor(ScriptedServer at) throws Exception {
    return successor(at, 1);
  }

  private Opened successor(ScriptedServer at, int queues) throws Exception {
    return Opened.lasting(at.uri("vol"), queues, Map.of(), new SuccessionFile(path(), true));
  }

  private static void done(Opened opened, RecordedRequest request) {
    opened.submit(request);
    assertNull(request.await());
  }

  private static RecordedRequest write(int offset, int pattern, int length) {
    return RecordedRequest.write(offset, Bytes.pattern(pattern, length), false);
  }

  private static RecordedRequest flush() {
    return RecordedRequest.flush();
  }

  /// Where the server was asked to write.
  private List<Long> writes() {
    return server.seen().stream()
        .filter(request -> request.type() == NBD_CMD_WRITE)
        .map(Request::offset)
        .toList();
  }

  @Test
  void whatWasAcknowledgedIsDoneAgainAndFlushedBeforeAnythingElse() throws Exception {
    try (ScriptedServer at = ScriptedServer.onTcp(server)) {
      Opened dead = first(at);
      done(dead, write(4096, 1, 2048));
      done(dead, write(4096 + 512, 2, 512));
      done(dead, RecordedRequest.write(8192, Bytes.pattern(3, 512), true));
      done(dead, write(1 << 20, 4, 1 << 20));
      done(dead, RecordedRequest.writeZeroes((1 << 20) + 4096, 4096, false, false));
      dead.kill();
      server.crash();
      try (Opened next = successor(at)) {
        RecordedRequest read = RecordedRequest.read(4096, 512);
        next.submit(read);
        assertNull(read.await());
        assertArrayEquals(Bytes.pattern(1, 512), read.payload());
        List<Integer> types = server.types();
        assertEquals(NBD_CMD_READ, types.getLast());
        assertEquals(NBD_CMD_FLUSH, types.get(types.size() - 2));
        List<Request> again = server.seen().subList(0, types.size() - 2);
        assertEquals(
            List.of(4096L, 4608L, 5120L, 8192L, 1048576L, 1052672L, 1056768L),
            again.stream().map(Request::offset).toList(),
            "for each byte the latest write alone");
        assertEquals(NBD_CMD_WRITE_ZEROES, again.get(5).type());
        assertArrayEquals(Bytes.pattern(2, 512), server.durable(4608, 512));
        assertArrayEquals(Bytes.pattern(3, 512), server.durable(8192, 512));
        assertArrayEquals(new byte[4096], server.durable((1 << 20) + 4096, 4096));
      }
    }
  }

  @Test
  void whatIsFlushedIsNotDoneAgain() throws Exception {
    try (ScriptedServer at = ScriptedServer.onTcp(server)) {
      Opened dead = first(at);
      done(dead, write(0, 1, 512));
      done(dead, flush());
      done(dead, write(512, 2, 512));
      dead.kill();
      server.crash();
      try (Opened next = successor(at)) {
        done(next, flush());
      }
      assertEquals(List.of(512L), writes());
      server.crash();
      // And once that is done, nothing is.
      Opened third = successor(at);
      done(third, flush());
      assertEquals(List.of(NBD_CMD_FLUSH), server.types());
      third.kill();
    }
  }

  /// The memory of payloads is used again and again, as long as they are flushed.
  @Test
  void payloadIsKeptWhileItIsNeededAndNoLonger() throws Exception {
    try (ScriptedServer at = ScriptedServer.onTcp(server)) {
      Opened dead = first(at, 2);
      byte[][] last = new byte[64][];
      for (int i = 0; i < 400; i++) {
        int at512k = i * 7 % 64;
        last[at512k] = Bytes.pattern(i, 512 << 10);
        RecordedRequest write = RecordedRequest.write((long) at512k << 19, last[at512k], false);
        dead.submitTo(i % 2, write);
        assertNull(write.await());
      }
      dead.kill();
      server.crash();
      try (Opened next = successor(at, 2)) {
        done(next, flush());
        int again = writes().size();
        assertTrue(again > 0 && again < 128, () -> again + " writes done again");
        for (int i = 0; i < 64; i++) {
          byte[] expected = last[i];
          if (expected != null) {
            assertArrayEquals(expected, server.durable(i << 19, 512 << 10), "block " + i);
          }
        }
      }
    }
  }

  @Test
  void aSuccessorThatIsKilledBeforeItIsDoneLeavesAllOfItToTheNext() throws Exception {
    try (ScriptedServer at = ScriptedServer.onTcp(server)) {
      Opened dead = first(at);
      for (int i = 0; i < 40; i++) {
        done(dead, write(i * 4096, i, 512));
      }
      dead.kill();
      server.crash();
      // As if the NBD server died again and again.
      server.drop(request -> request.offset() == 20 * 4096);
      Opened second = successor(at);
      Deadline deadline = Deadline.after(Duration.ofSeconds(20));
      while (second.target().outage().filter(o -> o.why().contains("done again")).isEmpty()
          || server.seen().size() < 20) {
        assertTrue(deadline.pause(), "it is being done again");
      }
      second.kill();
      server.crash();
      server.drop(_ -> false);
      try (Opened third = successor(at)) {
        done(third, flush());
        assertEquals(40, Set.copyOf(writes()).size());
        for (int i = 0; i < 40; i++) {
          assertArrayEquals(Bytes.pattern(i, 512), server.durable(i * 4096, 512));
        }
        assertTrue(third.target().outage().isEmpty());
        assertEquals(40L, third.target().details().get("writesDoneAgain"));
      }
    }
  }

  @Test
  void aConnectionThatIsLostMeanwhileIsMadeAgain() throws Exception {
    try (ScriptedServer at = ScriptedServer.onTcp(server)) {
      Opened dead = first(at, 2);
      done(dead, write(0, 1, 512));
      dead.kill();
      server.crash();
      server.drop(request -> {
        server.drop(_ -> false);
        return true;
      });
      try (Opened next = successor(at, 2)) {
        RecordedRequest read = RecordedRequest.read(0, 512);
        next.submitTo(1, read);
        assertNull(read.await());
        assertArrayEquals(Bytes.pattern(1, 512), read.payload());
        assertEquals(List.of(NBD_CMD_WRITE, NBD_CMD_FLUSH, NBD_CMD_READ), server.types());
        done(next, write(0, 2, 512));
      }
    }
  }

  /// Also if the new file cannot take the old one's name: nothing old is done over what is new.
  @Test
  void whatWasDoneAgainIsNotDoneAThirdTime() throws Exception {
    try (ScriptedServer at = ScriptedServer.onTcp(server)) {
      Opened dead = first(at);
      done(dead, write(0, 1, 512));
      dead.kill();
      server.crash();
      server.drop(request -> {
        assertTrue(path().resolveSibling("3.journal.new").toFile().delete() || !writes().isEmpty());
        return false;
      });
      Opened second = successor(at);
      done(second, flush());
      assertEquals(List.of(0L), writes());
      server.drop(_ -> false);
      done(second, write(0, 2, 512));
      done(second, flush());
      second.kill();
      server.crash();
      try (Opened third = successor(at)) {
        done(third, flush());
        assertEquals(List.of(), writes());
        assertArrayEquals(Bytes.pattern(2, 512), server.durable(0, 512));
      }
    }
  }

  private void assertFlushFails(Opened next, String why) {
    RecordedRequest flush = flush();
    next.submit(flush);
    assertEquals(IoError.IO, flush.await());
    String cause = String.valueOf(Objects.requireNonNull(flush.cause()).getMessage());
    assertTrue(cause.contains(why), cause);
  }

  @Test
  void aServerThatRefusesItIsNotTrusted() throws Exception {
    try (ScriptedServer at = ScriptedServer.onTcp(server)) {
      Opened dead = first(at);
      done(dead, write(0, 1, 512));
      dead.kill();
      server.crash();
      server.refuse(request -> request.type() == NBD_CMD_WRITE);
      try (Opened next = successor(at)) {
        assertFlushFails(next, "lost");
      }
      // Whoever comes next is told too, unless it can be done then.
      server.crash();
      server.refuse(_ -> false);
      try (Opened next = successor(at)) {
        done(next, flush());
        assertArrayEquals(Bytes.pattern(1, 512), server.durable(0, 512));
      }
    }
  }

  @Test
  void aDamagedJournalIsSaidByTheFirstFlush() throws Exception {
    try (ScriptedServer at = ScriptedServer.onTcp(server)) {
      Opened dead = first(at);
      done(dead, write(0, 1, 512));
      dead.kill();
      poke(JournalFile.ENTRIES_AT, 99);
      server.crash();
      try (Opened next = successor(at)) {
        assertFlushFails(next, "3.journal cannot be used (its header is damaged)");
      }
      assertEquals(List.of(), server.types());
      Files.delete(path());
      try (Opened next = successor(at)) {
        assertFlushFails(next, "(it is gone)");
      }
    }
  }

  @Test
  void theJournalOfAnotherVersionKeepsTheDiskWaiting() throws Exception {
    try (ScriptedServer at = ScriptedServer.onTcp(server)) {
      Opened dead = first(at);
      done(dead, write(0, 1, 512));
      dead.kill();
      poke(JournalFile.VERSION_AT, 2);
      server.crash();
      TargetOpenException refused =
          assertThrows(TargetOpenException.class, () -> successor(at).close());
      assertTrue(
          String.valueOf(refused.getMessage()).contains("is of version 2"), refused.getMessage());
      assertEquals(List.of(), server.types());
    }
  }

  private void poke(long position, int value) throws IOException {
    try (FileChannel file = FileChannel.open(path(), StandardOpenOption.WRITE)) {
      ByteBuffer bytes = ByteBuffer.allocate(4).order(java.nio.ByteOrder.LITTLE_ENDIAN);
      file.write(bytes.putInt(0, value), position);
    }
  }

  @Test
  void whatIsThereOfAnotherDeviceMeansNothing() throws Exception {
    try (ScriptedServer at = ScriptedServer.onTcp(server)) {
      Opened other = first(at);
      done(other, write(0, 1, 512));
      other.kill();
      server.crash();
      Opened fresh = first(at);
      done(fresh, write(512, 2, 512));
      assertEquals(List.of(NBD_CMD_WRITE), server.types());
      fresh.kill();
      server.crash();
      try (Opened next = successor(at)) {
        done(next, flush());
        assertEquals(List.of(512L), writes());
        assertArrayEquals(Bytes.pattern(2, 512), server.durable(512, 512));
      }
    }
  }

  @Test
  void withoutRoomForAFileTheJournalIsInMemory() throws Exception {
    try (ScriptedServer at = ScriptedServer.onTcp(server)) {
      SuccessionFile nowhere = new SuccessionFile(dir.resolve("gone/3.journal"), false);
      try (Opened opened = Opened.lasting(at.uri("vol"), 1, Map.of(), nowhere)) {
        done(opened, write(0, 1, 512));
        done(opened, flush());
      }
    }
  }

  @Test
  void noFileIsMadeThatNobodyNeeds() throws Exception {
    SuccessionFile file = new SuccessionFile(path(), false);
    try (ScriptedServer at = ScriptedServer.onTcp(server);
        Opened opened = Opened.lasting(at.uri("vol"), 1, Map.of("write-journal", "off"), file)) {
      done(opened, write(0, 1, 512));
      assertFalse(Files.exists(path()));
    }
  }
}
