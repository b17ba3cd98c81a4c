package io.ublkbridge.nbd;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.target.IoError;
import io.ublkbridge.target.RecordedRequest;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// Good paths, end to end on real event loops.
final class TransmissionTest {
  private static final int SIZE = 8 << 20;

  @TempDir Path directory;

  private static void exercise(MemoryServer server, String uri) throws Exception {
    try (Opened opened = Opened.at(uri)) {
      byte[] content = Bytes.pattern(77, 12288);
      RecordedRequest write = RecordedRequest.write(4096, content, true);
      opened.submit(write);
      assertNull(write.await());
      RecordedRequest flush = RecordedRequest.flush();
      opened.submit(flush);
      assertNull(flush.await());
      RecordedRequest read = RecordedRequest.read(4096, 12288);
      RecordedRequest other = RecordedRequest.read(SIZE - 1024, 1024);
      opened.submit(read, other);
      assertNull(read.await());
      assertNull(other.await());
      assertArrayEquals(content, read.payload());
      assertArrayEquals(Bytes.pattern(SIZE - 1024, 1024), other.payload());
      RecordedRequest trim = RecordedRequest.discard(8192, 4096);
      RecordedRequest zero = RecordedRequest.writeZeroes(65536, 512, true, false);
      RecordedRequest hole = RecordedRequest.writeZeroes(131072, 4096, false, true);
      opened.submit(trim, zero, hole);
      assertNull(trim.await());
      assertNull(zero.await());
      assertNull(hole.await());
    }
    assertArrayEquals(new byte[512], Arrays.copyOfRange(server.disk, 65536, 66048));
    assertEquals(
        NbdProtocol.NBD_CMD_FLAG_FUA,
        server.seen(NbdProtocol.NBD_CMD_WRITE).getFirst().flags()
            & ~NbdProtocol.NBD_CMD_FLAG_PAYLOAD_LEN);
    assertEquals(1, server.seen(NbdProtocol.NBD_CMD_FLUSH).size());
    assertEquals(1, server.seen(NbdProtocol.NBD_CMD_TRIM).size());
    assertEquals(
        NbdProtocol.NBD_CMD_FLAG_FUA | NbdProtocol.NBD_CMD_FLAG_NO_HOLE,
        server.seen(NbdProtocol.NBD_CMD_WRITE_ZEROES).get(0).flags());
    assertEquals(0, server.seen(NbdProtocol.NBD_CMD_WRITE_ZEROES).get(1).flags());
    assertEquals(1, server.connections.get());
  }

  @Test
  void everyCommandWorksOverTcpWithStructuredReplies() throws Exception {
    MemoryServer memory = new MemoryServer(SIZE, MemoryServer.ALL_FLAGS, true);
    try (ScriptedServer server = ScriptedServer.onTcp(memory)) {
      exercise(memory, server.uri("disk"));
    }
  }

  @Test
  void everyCommandWorksWithExtendedHeaders() throws Exception {
    MemoryServer memory = new MemoryServer(SIZE, MemoryServer.ALL_FLAGS, HeaderForm.EXTENDED);
    try (ScriptedServer server = ScriptedServer.onTcp(memory)) {
      exercise(memory, server.uri("disk"));
    }
  }

  @Test
  void everyCommandWorksOverAUnixSocketWithSimpleReplies() throws Exception {
    MemoryServer memory = new MemoryServer(SIZE, MemoryServer.ALL_FLAGS, false);
    try (ScriptedServer server = ScriptedServer.onUnix(directory.resolve("s"), memory)) {
      exercise(memory, server.uri("disk"));
    }
  }

  @Test
  void longPayloadsArriveWhole() throws Exception {
    MemoryServer memory = new MemoryServer(SIZE, MemoryServer.ALL_FLAGS, true);
    try (ScriptedServer server = ScriptedServer.onTcp(memory);
        Opened opened = Opened.at(server.uri("disk"))) {
      byte[] content = Bytes.pattern(12345, 4 << 20);
      RecordedRequest write = RecordedRequest.write(1 << 20, content, false);
      RecordedRequest small = RecordedRequest.write(0, Bytes.pattern(5, 512), false);
      opened.submit(write, small);
      assertNull(write.await());
      assertNull(small.await());
      RecordedRequest read = RecordedRequest.read(1 << 20, 4 << 20);
      opened.submit(read);
      assertNull(read.await());
      assertArrayEquals(content, read.payload());
    }
  }

  /// A server may know the answer to a WRITE from its header. More payload than a socket holds is
  /// then still on its way: it must follow unharmed, or everything after it is out of step.
  @ParameterizedTest
  @EnumSource(HeaderForm.class)
  void aReplyMayOvertakeThePayload(HeaderForm headers) throws Exception {
    byte[] content = Bytes.pattern(12345, 4 << 20);
    CompletableFuture<byte[]> received = new CompletableFuture<>();
    CountDownLatch ended = new CountDownLatch(1);
    ScriptedServer.Script script =
        wire -> {
          wire.handshake(headers, SIZE, MemoryServer.ALL_FLAGS);
          ScriptedServer.Request write = wire.receiveHeader();
          if (headers.extendedHeaders()) {
            wire.chunk(1, 0x8001, write, Bytes.of().u32(28).u16(0).array());
          } else {
            wire.simpleReply(28, write.cookie());
          }
          ended.await();
          received.complete(wire.receive((int) write.length()));
          wire.doneReply(wire.receiveRequest());
          wire.awaitEnd();
        };
    try (ScriptedServer server = ScriptedServer.onUnix(directory.resolve("s"), script);
        Opened opened = Opened.at(server.uri("disk"))) {
      RecordedRequest write = RecordedRequest.write(0, content, false);
      opened.submit(write);
      assertEquals(IoError.NO_SPACE, write.await());
      RecordedRequest flush = RecordedRequest.flush();
      opened.submit(flush);
      ended.countDown();
      assertNull(flush.await());
      assertArrayEquals(content, received.get(10, TimeUnit.SECONDS));
    }
  }

  @Test
  void aDisconnectIsAnnounced() throws Exception {
    MemoryServer memory = new MemoryServer(SIZE, MemoryServer.ALL_FLAGS, true);
    try (ScriptedServer server = ScriptedServer.onTcp(memory)) {
      Opened.at(server.uri("disk")).close();
      while (memory.requests.isEmpty()) {
        Thread.onSpinWait();
      }
      assertTrue(memory.seen(NbdProtocol.NBD_CMD_DISC).size() == 1);
    }
  }
}
