package io.ublkbridge.nbd;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.nbd.ScriptedServer.Request;
import io.ublkbridge.nbd.ScriptedServer.Script;
import io.ublkbridge.nbd.ScriptedServer.Wire;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Outage;
import io.ublkbridge.target.RecordedRequest;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/// Connections that are lost and come back, on real sockets; what each next connection of the
/// server does is scripted.
final class ReconnectTest {
  private static final int SIZE = 1 << 20;
  private static final int FLAGS = MemoryServer.ALL_FLAGS;

  /// The n-th connection follows the n-th script, and all later ones the last.
  private static Script inTurn(Script... scripts) {
    AtomicInteger connections = new AtomicInteger();
    return wire -> scripts[Math.min(connections.getAndIncrement(), scripts.length - 1)].run(wire);
  }

  private static Script shaken(Script transmission) {
    return wire -> {
      wire.handshake(true, SIZE, FLAGS);
      transmission.run(wire);
    };
  }

  /// Answers everything as an honest server with a disk of zeroes, and notes it.
  private static Script honest(ConcurrentLinkedQueue<Request> seen) {
    return wire -> {
      while (true) {
        answer(wire, seen);
      }
    };
  }

  private static void answer(Wire wire, ConcurrentLinkedQueue<Request> seen) throws Exception {
    Request request = wire.receiveRequest();
    seen.add(request);
    if (request.type() == NbdProtocol.NBD_CMD_READ) {
      wire.dataReply(request, new byte[(int) request.length()]);
    } else {
      wire.simpleReply(0, request.cookie());
    }
  }

  private static List<Integer> types(ConcurrentLinkedQueue<Request> seen) {
    return seen.stream().map(Request::type).toList();
  }

  @Test
  void whatWasUnderWayIsSentAgainInOrder() throws Exception {
    ConcurrentLinkedQueue<Request> seen = new ConcurrentLinkedQueue<>();
    Script drops =
        shaken(wire -> {
          wire.receiveRequest();
          wire.receiveRequest();
          wire.receiveRequest();
          wire.reset();
        });
    try (ScriptedServer server = ScriptedServer.onTcp(inTurn(drops, shaken(honest(seen))));
        Opened opened = Opened.at(server.uri("vol"))) {
      RecordedRequest write = RecordedRequest.write(512, Bytes.pattern(1, 512), true);
      RecordedRequest read = RecordedRequest.read(4096, 512);
      RecordedRequest zero = RecordedRequest.writeZeroes(8192, 512, false, false);
      opened.submit(write, read, zero);
      assertNull(write.await());
      assertNull(read.await());
      assertNull(zero.await());
      assertEquals(
          List.of(
              NbdProtocol.NBD_CMD_WRITE,
              NbdProtocol.NBD_CMD_READ,
              NbdProtocol.NBD_CMD_WRITE_ZEROES),
          types(seen));
      Request again = seen.element();
      assertArrayEquals(Bytes.pattern(1, 512), again.payload());
      assertEquals(NbdProtocol.NBD_CMD_FLAG_FUA, again.flags());
    }
  }

  @Test
  void acknowledgedWritesAreDoneAgainAndFlushedBeforeAnythingElse() throws Exception {
    ConcurrentLinkedQueue<Request> first = new ConcurrentLinkedQueue<>();
    ConcurrentLinkedQueue<Request> second = new ConcurrentLinkedQueue<>();
    Script dies =
        shaken(wire -> {
          answer(wire, first);
          answer(wire, first);
          wire.receiveRequest();
        });
    try (ScriptedServer server = ScriptedServer.onTcp(inTurn(dies, shaken(honest(second))));
        Opened opened = Opened.at(server.uri("vol"))) {
      RecordedRequest old = RecordedRequest.write(0, Bytes.pattern(7, 1024), false);
      opened.submit(old);
      assertNull(old.await());
      RecordedRequest newer = RecordedRequest.write(512, Bytes.pattern(9, 512), false);
      opened.submit(newer);
      assertNull(newer.await());
      RecordedRequest read = RecordedRequest.read(4096, 512);
      opened.submit(read);
      assertNull(read.await());
      assertEquals(
          List.of(
              NbdProtocol.NBD_CMD_WRITE,
              NbdProtocol.NBD_CMD_WRITE,
              NbdProtocol.NBD_CMD_FLUSH,
              NbdProtocol.NBD_CMD_READ),
          types(second));
      List<Request> again = List.copyOf(second);
      assertEquals(0, again.get(0).offset());
      assertArrayEquals(Bytes.pattern(7, 512), again.get(0).payload());
      assertEquals(512, again.get(1).offset());
      assertArrayEquals(Bytes.pattern(9, 512), again.get(1).payload());
    }
  }

  @Test
  void whatIsFlushedIsNotDoneAgain() throws Exception {
    ConcurrentLinkedQueue<Request> first = new ConcurrentLinkedQueue<>();
    ConcurrentLinkedQueue<Request> second = new ConcurrentLinkedQueue<>();
    Script dies =
        shaken(wire -> {
          answer(wire, first);
          answer(wire, first);
          wire.receiveRequest();
        });
    try (ScriptedServer server = ScriptedServer.onTcp(inTurn(dies, shaken(honest(second))));
        Opened opened = Opened.at(server.uri("vol"))) {
      for (RecordedRequest request :
          List.of(
              RecordedRequest.write(0, new byte[512], false),
              RecordedRequest.flush(),
              RecordedRequest.read(0, 512))) {
        opened.submit(request);
        assertNull(request.await());
      }
      assertEquals(List.of(NbdProtocol.NBD_CMD_READ), types(second));
    }
  }

  @Test
  void withoutTheJournalTheNextFlushFailsOnce() throws Exception {
    ConcurrentLinkedQueue<Request> seen = new ConcurrentLinkedQueue<>();
    Script dies =
        shaken(wire -> {
          answer(wire, seen);
          wire.receiveRequest();
        });
    try (ScriptedServer server = ScriptedServer.onTcp(inTurn(dies, shaken(honest(seen))));
        Opened opened = Opened.at(server.uri("vol"), 1, Map.of("write-journal", "off"))) {
      RecordedRequest write = RecordedRequest.write(0, new byte[512], false);
      opened.submit(write);
      assertNull(write.await());
      RecordedRequest failed = RecordedRequest.flush();
      opened.submit(failed);
      assertEquals(IoError.IO, failed.await());
      RecordedRequest fine = RecordedRequest.flush();
      opened.submit(fine);
      assertNull(fine.await());
    }
  }

  @Test
  void aServerThatShutsDownIsReconnectedTo() throws Exception {
    ConcurrentLinkedQueue<Request> seen = new ConcurrentLinkedQueue<>();
    Script leaves =
        shaken(wire -> {
          Request request = wire.receiveRequest();
          wire.simpleReply(NbdProtocol.NBD_ESHUTDOWN, request.cookie());
          wire.awaitEnd();
        });
    try (ScriptedServer server = ScriptedServer.onTcp(inTurn(leaves, shaken(honest(seen))));
        Opened opened = Opened.at(server.uri("vol"))) {
      RecordedRequest write = RecordedRequest.write(0, new byte[512], false);
      opened.submit(write);
      assertNull(write.await());
      assertEquals(List.of(NbdProtocol.NBD_CMD_WRITE), types(seen));
    }
  }

  @Test
  void aServerThatGreetsNobodyIsNotWaitedForForEver() throws Exception {
    ConcurrentLinkedQueue<Request> seen = new ConcurrentLinkedQueue<>();
    Script drops = shaken(Wire::receiveRequest);
    // Hangs longer than an attempt may take, which is bounded by what opening was allowed.
    try (ScriptedServer server =
            ScriptedServer.onTcp(inTurn(drops, Wire::awaitEnd, shaken(honest(seen))));
        Opened opened = Opened.within(server.uri("vol"), Duration.ofSeconds(1))) {
      RecordedRequest write = RecordedRequest.write(0, new byte[512], false);
      opened.submit(write);
      assertNull(write.await());
    }
  }

  @Test
  void anotherDiskIsNotWrittenTo() throws Exception {
    ConcurrentLinkedQueue<Request> seen = new ConcurrentLinkedQueue<>();
    CountDownLatch refused = new CountDownLatch(4);
    Script drops = shaken(Wire::receiveRequest);
    Script smaller =
        wire -> {
          wire.handshake(true, SIZE - 512, FLAGS);
          refuse(wire, refused);
        };
    Script readOnly =
        wire -> {
          wire.handshake(true, SIZE, FLAGS | NbdProtocol.NBD_FLAG_READ_ONLY);
          refuse(wire, refused);
        };
    Script unflushable =
        wire -> {
          wire.handshake(true, SIZE, FLAGS & ~NbdProtocol.NBD_FLAG_SEND_FLUSH);
          refuse(wire, refused);
        };
    try (ScriptedServer server =
            ScriptedServer.onTcp(
                inTurn(drops, smaller, smaller, readOnly, unflushable, shaken(honest(seen))));
        Opened opened = Opened.at(server.uri("vol"))) {
      RecordedRequest write = RecordedRequest.write(0, new byte[512], false);
      opened.submit(write);
      assertTrue(refused.await(10, TimeUnit.SECONDS));
      Outage outage = opened.target().outage().orElseThrow();
      assertTrue(outage.why().contains("another disk"), outage.why());
      assertEquals(1, outage.requestsWaiting());
      assertNull(write.await());
      assertTrue(opened.target().outage().isEmpty());
    }
  }

  /// An honest server with a disk of this size, until the client takes leave.
  private static Script sized(long bytes, ConcurrentLinkedQueue<Request> seen) {
    return wire -> {
      wire.handshake(true, bytes, FLAGS);
      for (Request next = wire.receiveRequest();
          next.type() != NbdProtocol.NBD_CMD_DISC;
          next = wire.receiveRequest()) {
        seen.add(next);
        wire.simpleReply(0, next.cookie());
      }
    };
  }

  @Test
  void aDiskThatComesBackLargerIsTheSameOnceThatIsSaid() throws Exception {
    ConcurrentLinkedQueue<Request> seen = new ConcurrentLinkedQueue<>();
    Script drops = shaken(Wire::receiveRequest);
    Script larger = sized(2 * SIZE, seen);
    try (ScriptedServer server = ScriptedServer.onTcp(inTurn(drops, larger));
        Opened opened = Opened.at(server.uri("vol"))) {
      RecordedRequest write = RecordedRequest.write(0, new byte[512], false);
      opened.submit(write);
      while (opened.target().outage().filter(o -> o.why().contains("another disk")).isEmpty()) {
        Thread.onSpinWait();
      }
      assertEquals(SIZE, opened.target().geometry().sizeBytes());
      long present = opened.target().presentSize(Duration.ofSeconds(10));
      assertEquals(2 * SIZE, present);
      assertEquals(List.of(), types(seen), "nothing is written before");

      opened.target().resize(present);

      assertNull(write.await());
      assertTrue(opened.target().outage().isEmpty());
      RecordedRequest behind = RecordedRequest.write(SIZE, new byte[512], false);
      opened.submit(behind);
      assertNull(behind.await());
      assertEquals(2 * SIZE, opened.target().geometry().sizeBytes());
    }
  }

  @Test
  void noConnectionThatKnowsAnotherSizeIsKept() throws Exception {
    ConcurrentLinkedQueue<Request> old = new ConcurrentLinkedQueue<>();
    ConcurrentLinkedQueue<Request> seen = new ConcurrentLinkedQueue<>();
    Script larger = sized(2 * SIZE, seen);
    try (ScriptedServer server = ScriptedServer.onTcp(inTurn(sized(SIZE, old), larger));
        Opened opened = Opened.at(server.uri("vol"))) {
      RecordedRequest first = RecordedRequest.write(0, new byte[512], true);
      opened.submit(first);
      assertNull(first.await());
      RecordedRequest early = RecordedRequest.write(SIZE, new byte[512], false);
      opened.submit(early);
      assertEquals(IoError.IO, early.await());

      opened.target().resize(opened.target().presentSize(Duration.ofSeconds(10)));

      while (seen.isEmpty()) {
        RecordedRequest behind = RecordedRequest.write(SIZE, new byte[512], false);
        opened.submit(behind);
        assertNull(behind.await());
      }
      assertEquals(1, old.size(), "the old connection never hears of what is behind its end");
    }
  }

  private static void refuse(Wire wire, CountDownLatch refused) throws Exception {
    Request request = wire.receiveRequest();
    assertEquals(NbdProtocol.NBD_CMD_DISC, request.type(), "the disk is not touched");
    refused.countDown();
  }

  @Test
  void aConnectionThatIsLostLeavesTheOthersAtWork() throws Exception {
    ConcurrentLinkedQueue<Request> seen = new ConcurrentLinkedQueue<>();
    CountDownLatch lost = new CountDownLatch(1);
    Script drops =
        shaken(wire -> {
          wire.receiveRequest();
          lost.countDown();
        });
    // Queue 0 has the first connection, queue 1 the second.
    Script refuses = wire -> {};
    try (ScriptedServer server =
            ScriptedServer.onTcp(
                inTurn(drops, shaken(honest(seen)), refuses, refuses, shaken(honest(seen))));
        Opened opened = Opened.at(server.uri("vol"), 2, Map.of("connections", "2"))) {
      RecordedRequest inDoubt = RecordedRequest.write(0, new byte[512], false);
      opened.submitTo(0, inDoubt);
      assertTrue(lost.await(10, TimeUnit.SECONDS));
      RecordedRequest other = RecordedRequest.read(4096, 512);
      opened.submitTo(1, other);
      assertNull(other.await());
      assertNull(inDoubt.await());
      // The survivor proved that the server is the same before the new connection was used.
      assertTrue(types(seen).contains(NbdProtocol.NBD_CMD_FLUSH));
    }
  }

  @Test
  void patienceEndsAndBeginsAgain() throws Exception {
    ConcurrentLinkedQueue<Request> seen = new ConcurrentLinkedQueue<>();
    CountDownLatch gaveUp = new CountDownLatch(1);
    Script drops = shaken(Wire::receiveRequest);
    Script down = wire -> {};
    Script waits =
        wire -> {
          if (!gaveUp.await(10, TimeUnit.SECONDS)) {
            throw new AssertionError("nobody gave up");
          }
          wire.handshake(true, SIZE, FLAGS);
          honest(seen).run(wire);
        };
    try (ScriptedServer server = ScriptedServer.onTcp(inTurn(drops, down, waits));
        Opened opened = Opened.at(server.uri("vol"), 1, Map.of("loss-timeout", "300ms"))) {
      RecordedRequest write = RecordedRequest.write(0, new byte[512], false);
      opened.submit(write);
      assertEquals(IoError.UNREACHABLE, write.await());
      RecordedRequest later = RecordedRequest.read(0, 512);
      opened.submit(later);
      assertEquals(IoError.UNREACHABLE, later.await());
      assertFalse(opened.target().outage().isEmpty());
      gaveUp.countDown();
      while (opened.target().outage().isPresent()) {
        Thread.onSpinWait();
      }
      RecordedRequest again = RecordedRequest.read(0, 512);
      opened.submit(again);
      assertNull(again.await());
    }
  }

  @Test
  void aDiskThatIsToBeStoppedDoesNotWaitLong() throws Exception {
    Script drops = shaken(Wire::receiveRequest);
    Script down = wire -> {};
    try (ScriptedServer server = ScriptedServer.onTcp(inTurn(drops, down));
        Opened opened = Opened.at(server.uri("vol"), 1, Map.of("loss-timeout", "0"))) {
      RecordedRequest write = RecordedRequest.write(0, new byte[512], false);
      opened.submit(write);
      opened.target().stopping();
      assertEquals(IoError.UNREACHABLE, write.await());
    }
  }
}
