package io.ublkbridge.nbd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.nbd.ScriptedServer.Request;
import io.ublkbridge.nbd.ScriptedServer.Script;
import io.ublkbridge.nbd.ScriptedServer.Wire;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.RecordedRequest;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// The end of a connection to a server that does not come back: everything under way waits, and
/// fails when the patience is over, and so does everything later.
final class ConnectionLossTest {
  private static final int FLAGS = MemoryServer.ALL_FLAGS;
  private static final String PATIENCE = "200ms";

  /// A server that follows a script once, and greets nobody afterwards.
  private static Script once(HeaderForm headers, Script transmission) {
    AtomicInteger connections = new AtomicInteger();
    return wire -> {
      if (connections.incrementAndGet() == 1) {
        wire.handshake(headers, 1 << 20, FLAGS);
        transmission.run(wire);
      }
    };
  }

  /// Runs a transmission phase that must end the connection while two requests are under way.
  private static void assertLost(boolean structured, Script transmission) throws Exception {
    assertLost(structured, Map.of(), transmission);
  }

  private static void assertLost(
      boolean structured, Map<String, String> options, Script transmission) throws Exception {
    assertLost(structured ? HeaderForm.STRUCTURED : HeaderForm.SIMPLE, options, transmission);
  }

  private static void assertLost(
      HeaderForm headers, Map<String, String> options, Script transmission) throws Exception {
    Map<String, String> patient = new HashMap<>(options);
    patient.put("loss-timeout", PATIENCE);
    try (ScriptedServer server = ScriptedServer.onTcp(once(headers, transmission));
        Opened opened = Opened.at(server.uri("vol"), 1, patient)) {
      RecordedRequest read = RecordedRequest.read(4096, 4096);
      RecordedRequest write = RecordedRequest.write(0, new byte[512], false);
      opened.submit(read, write);
      assertEquals(IoError.UNREACHABLE, read.await());
      assertEquals(IoError.UNREACHABLE, write.await());
      assertTrue(String.valueOf(write.cause()).contains("no connection to the NBD server"));
      RecordedRequest later = RecordedRequest.read(0, 512);
      RecordedRequest flush = RecordedRequest.flush();
      opened.submit(later, flush);
      assertEquals(IoError.UNREACHABLE, later.await());
      // Nothing was acknowledged, so there is nothing that a flush could lose.
      assertNull(flush.await());
    }
  }

  /// Takes both requests, and returns the READ.
  private static Request both(Wire wire) throws Exception {
    Request first = wire.receiveRequest();
    wire.receiveRequest();
    return first;
  }

  @Test
  void theServerCloses() throws Exception {
    assertLost(true, wire -> both(wire));
  }

  @Test
  void theServerResets() throws Exception {
    assertLost(
        true,
        wire -> {
          both(wire);
          wire.reset();
        });
  }

  /// Ends in the header, in the offset, in the data.
  @ParameterizedTest
  @ValueSource(ints = {1, 15, 16, 20, 27, 28, 29, 4000, 4123})
  void theServerStopsInTheMiddleOfAReply(int bytes) throws Exception {
    assertLost(
        true,
        wire -> {
          Request read = both(wire);
          byte[] reply =
              Bytes.of()
                  .chunk(1, 1, read.cookie(), Bytes.of().u64(4096).raw(new byte[4096]).array())
                  .array();
          wire.send(Arrays.copyOf(reply, bytes));
        });
  }

  /// As above, with extended headers: in the header, behind it, in the data.
  @ParameterizedTest
  @ValueSource(ints = {1, 16, 20, 31, 32, 39, 40, 41, 4135})
  void theServerStopsInTheMiddleOfAnExtendedReply(int bytes) throws Exception {
    assertLost(
        HeaderForm.EXTENDED,
        Map.of(),
        wire -> {
          Request read = both(wire);
          byte[] reply =
              Bytes.of(HeaderForm.EXTENDED, 4096)
                  .chunk(1, 1, read.cookie(), Bytes.of().u64(4096).raw(new byte[4096]).array())
                  .array();
          wire.send(Arrays.copyOf(reply, bytes));
          if (bytes % 2 == 0) {
            wire.reset();
          }
        });
  }

  @Test
  void theServerResetsInTheMiddleOfAPayload() throws Exception {
    AtomicInteger connections = new AtomicInteger();
    Script script =
        wire -> {
          if (connections.incrementAndGet() == 1) {
            wire.handshake(true, 8 << 20, FLAGS);
            wire.receiveHeader();
            wire.receive(1000);
            wire.reset();
          }
        };
    try (ScriptedServer server = ScriptedServer.onTcp(script);
        Opened opened = Opened.at(server.uri("vol"), 1, Map.of("loss-timeout", PATIENCE))) {
      RecordedRequest write = RecordedRequest.write(0, new byte[4 << 20], false);
      opened.submit(write);
      assertEquals(IoError.UNREACHABLE, write.await());
    }
  }

  @Test
  void theServerForgetsThatHeadersAreExtended() throws Exception {
    assertLost(
        HeaderForm.EXTENDED,
        Map.of(),
        wire -> {
          Request read = both(wire);
          wire.simpleReply(0, read.cookie(), new byte[4096]);
          wire.awaitEnd();
        });
  }

  @Test
  void theServerHangs() throws Exception {
    assertLost(true, Map.of("io-timeout", "100ms"), Wire::awaitEnd);
  }

  @Test
  void theServerHangsInTheMiddleOfAReply() throws Exception {
    assertLost(
        true,
        Map.of("io-timeout", "100ms"),
        wire -> {
          Request read = both(wire);
          wire.send(Bytes.of().chunkHeader(1, 1, read.cookie(), 4104).u64(4096).array());
          wire.awaitEnd();
        });
  }

  @Test
  void theServerSendsGarbage() throws Exception {
    assertLost(
        true,
        wire -> {
          both(wire);
          wire.send("HTTP/1.1 400 Bad Request\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
          wire.awaitEnd();
        });
  }

  @Test
  void theServerAnswersARequestThatNobodyMade() throws Exception {
    assertLost(
        true,
        wire -> {
          both(wire);
          wire.simpleReply(0, 0x123456789L);
          wire.awaitEnd();
        });
  }

  @Test
  void theServerSendsTooMuch() throws Exception {
    assertLost(
        false,
        wire -> {
          Request read = wire.receiveRequest();
          wire.receiveRequest();
          // The surplus is where the next reply should begin.
          wire.simpleReply(5, read.cookie(), new byte[64]);
          wire.awaitEnd();
        },
        IoError.IO);
  }

  /// As [#assertLost], but the READ had its answer before the violation.
  private static void assertLost(boolean structured, Script transmission, IoError readEnd)
      throws Exception {
    try (ScriptedServer server =
            ScriptedServer.onTcp(
                once(structured ? HeaderForm.STRUCTURED : HeaderForm.SIMPLE, transmission));
        Opened opened = Opened.at(server.uri("vol"), 1, Map.of("loss-timeout", PATIENCE))) {
      RecordedRequest read = RecordedRequest.read(4096, 4096);
      RecordedRequest write = RecordedRequest.write(0, new byte[512], false);
      opened.submit(read, write);
      assertEquals(readEnd, read.await());
      assertEquals(IoError.UNREACHABLE, write.await());
    }
  }

  @Test
  void theServerAnswersAReadWithTooLittle() throws Exception {
    assertLost(
        true,
        wire -> {
          Request read = both(wire);
          wire.chunk(1, 1, read.cookie(), Bytes.of().u64(4096).raw(new byte[4095]).array());
          wire.awaitEnd();
        });
  }

  @Test
  void theServerAnnouncesAHugeChunk() throws Exception {
    assertLost(
        true,
        wire -> {
          Request read = both(wire);
          wire.send(Bytes.of().chunkHeader(1, 1, read.cookie(), -1).array());
          wire.awaitEnd();
        });
  }

  @Test
  void aReadInStructuredModeIsAnsweredSimply() throws Exception {
    assertLost(
        true,
        wire -> {
          Request read = both(wire);
          wire.simpleReply(0, read.cookie(), new byte[4096]);
          wire.awaitEnd();
        });
  }

  @Test
  void errorsOfSingleRequestsKeepTheConnection() throws Exception {
    Script script =
        wire -> {
          wire.handshake(true, 1 << 20, FLAGS);
          int[] errnos = {1, 5, 12, 22, 28, 75, 95, 4711};
          for (int errno : errnos) {
            Request request = wire.receiveRequest();
            wire.simpleReply(errno, request.cookie());
          }
          Request request = wire.receiveRequest();
          wire.simpleReply(0, request.cookie());
          wire.awaitEnd();
        };
    IoError[] expected = {
      IoError.IO,
      IoError.IO,
      IoError.IO,
      IoError.IO,
      IoError.NO_SPACE,
      IoError.IO,
      IoError.UNSUPPORTED,
      IoError.IO
    };
    try (ScriptedServer server = ScriptedServer.onTcp(script);
        Opened opened = Opened.at(server.uri("vol"))) {
      for (IoError error : expected) {
        RecordedRequest write = RecordedRequest.write(0, new byte[512], false);
        opened.submit(write);
        assertEquals(error, write.await());
      }
      RecordedRequest write = RecordedRequest.write(0, new byte[512], false);
      opened.submit(write);
      assertNull(write.await());
    }
  }
}
