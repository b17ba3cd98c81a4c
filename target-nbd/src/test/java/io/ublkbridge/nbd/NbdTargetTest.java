package io.ublkbridge.nbd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.netty.buffer.ByteBufAllocator;
import io.netty.buffer.ByteBufAllocatorMetric;
import io.netty.buffer.ByteBufAllocatorMetricProvider;
import io.ublkbridge.nbd.ScriptedServer.Script;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.RecordedRequest;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import io.ublkbridge.target.TargetProvider;
import io.ublkbridge.target.TargetUri;
import io.ublkbridge.target.UringLoops;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.ServiceLoader;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// What the device is told of an export, and what the server is asked for.
final class NbdTargetTest {
  private static final int ALL = MemoryServer.ALL_FLAGS;
  private static final int SIZE = 1 << 20;

  private static ExportInfo info(int flags) {
    return new ExportInfo(SIZE, flags, ExportInfo.BlockSizes.DEFAULT, HeaderForm.STRUCTURED);
  }

  @Test
  void theProviderIsFound() {
    List<Set<String>> schemes =
        ServiceLoader.load(TargetProvider.class).stream()
            .map(provider -> provider.get().schemes())
            .toList();
    assertTrue(
        schemes.contains(Set.of("nbd", "nbd+unix", "nbd+vsock", "nbds", "nbds+unix", "nbds+vsock")),
        schemes.toString());
  }

  @Test
  void anExportIsKnownByNameAndWords() {
    Negotiated disk = new Negotiated(info(ALL), "disk", "of db1", List.of(), OptionalInt.empty());
    assertEquals("export 'disk' (of db1)", disk.identity());
  }

  @Test
  void capabilitiesFollowTheFlags() {
    assertEquals(
        new Capabilities(false, true, true, true, true, false, 4), info(ALL).capabilities(4));
    assertEquals(
        new Capabilities(false, false, false, false, false, false, 1),
        info(NbdProtocol.NBD_FLAG_HAS_FLAGS).capabilities(1));
    int fuaOnly = NbdProtocol.NBD_FLAG_HAS_FLAGS | NbdProtocol.NBD_FLAG_SEND_FUA;
    assertFalse(info(fuaOnly).capabilities(1).fua(), "FUA means nothing without a cache");
    Capabilities readOnly =
        info(ALL | NbdProtocol.NBD_FLAG_READ_ONLY | NbdProtocol.NBD_FLAG_ROTATIONAL)
            .capabilities(1);
    assertEquals(new Capabilities(true, true, true, false, false, true, 1), readOnly);
  }

  private static ExportInfo sized(long size, long min, long preferred, long max) {
    return new ExportInfo(
        size, ALL, new ExportInfo.BlockSizes(min, preferred, max), HeaderForm.STRUCTURED);
  }

  @Test
  void geometryFollowsTheBlockSizes() throws Exception {
    assertEquals(
        new Geometry(SIZE, 512, 4096, 4 << 20, ExportInfo.MAX_ZERO_BYTES), info(ALL).geometry());
    assertEquals(
        new Geometry(SIZE, 4096, 65536, 1 << 20, ExportInfo.MAX_ZERO_BYTES),
        sized(SIZE, 4096, 65536, 1 << 20).geometry());
    assertEquals(4096, sized(SIZE, 1, 512, 5000).geometry().maxIoBytes());
    assertEquals(512, sized(SIZE, 1, 1, 0xffffffffL).geometry().preferredIoBytes());
    assertEquals(4 << 20, sized(SIZE, 1, 1L << 31, 0xffffffffL).geometry().preferredIoBytes());
    assertEquals(4 << 20, sized(SIZE, 1, 4096, 0xffffffffL).geometry().maxIoBytes());
    assertEquals(1024, sized(1535, 1, 4096, 1 << 20).geometry().sizeBytes());
    assertEquals(
        Long.MAX_VALUE - 511, sized(Long.MAX_VALUE, 1, 4096, 1 << 20).geometry().sizeBytes());
  }

  @Test
  void geometryThatNoDiskCanHaveIsRefused() {
    for (ExportInfo impossible :
        List.of(
            sized(SIZE, 8192, 8192, 1 << 20),
            sized(-1, 1, 4096, 1 << 20),
            sized(0, 1, 4096, 1 << 20),
            sized(511, 1, 4096, 1 << 20),
            sized(SIZE, 1, 512, 2048))) {
      TargetOpenException refusal = assertThrows(TargetOpenException.class, impossible::geometry);
      assertEquals(Reason.UNSUPPORTED, refusal.reason());
    }
  }

  @Test
  void detailsTellWhatWasNegotiated() throws Exception {
    MemoryServer memory = new MemoryServer(SIZE, ALL, true);
    try (ScriptedServer server = ScriptedServer.onTcp(memory);
        Opened opened = Opened.at(server.uri(""))) {
      Map<String, Object> details = opened.target().details();
      assertEquals("disk", details.get("export"));
      assertEquals(true, details.get("structuredReplies"));
      assertEquals(false, details.get("extendedHeaders"));
      assertEquals(true, details.get("multiConn"));
      assertEquals(4L, details.get("connections"));
      assertEquals(4096L, details.get("preferredBlockBytes"));
      assertEquals(false, details.get("tls"));
    }
  }

  // Several connections.

  @Test
  void eachQueueHasItsOwnConnection() throws Exception {
    MemoryServer memory = new MemoryServer(SIZE, ALL, true);
    try (ScriptedServer server = ScriptedServer.onTcp(memory);
        Opened opened = Opened.at(server.uri("disk"), 3, Map.of())) {
      assertEquals(4, opened.target().capabilities().queues());
      assertEquals(3, memory.connections.get());
      for (int queue = 0; queue < 3; queue++) {
        RecordedRequest read = RecordedRequest.read(queue * 4096L, 4096);
        opened.submitTo(queue, read);
        assertNull(read.await());
      }
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 5, 64})
  void theConnectionsThatWereAskedForAreSpreadOverTheQueues(int connections) throws Exception {
    MemoryServer memory = new MemoryServer(SIZE, ALL, true);
    int queues = Math.min(2, connections);
    try (ScriptedServer server = ScriptedServer.onTcp(memory);
        Opened opened =
            Opened.at(
                server.uri("disk"), queues, Map.of("connections", Integer.toString(connections)))) {
      assertEquals(connections, opened.target().capabilities().queues());
      assertEquals(connections, memory.connections.get());
      RecordedRequest[] reads = new RecordedRequest[64];
      for (int i = 0; i < reads.length; i++) {
        reads[i] = RecordedRequest.read(i * 4096L, 4096);
      }
      opened.submit(reads);
      for (RecordedRequest read : reads) {
        assertNull(read.await());
      }
    }
  }

  @Test
  void oneConnectionWithoutTheServersConsent() throws Exception {
    MemoryServer memory = new MemoryServer(SIZE, ALL & ~NbdProtocol.NBD_FLAG_CAN_MULTI_CONN, true);
    try (ScriptedServer server = ScriptedServer.onTcp(memory);
        Opened opened = Opened.at(server.uri("disk"), 1, Map.of("connections", "8"))) {
      assertEquals(1, opened.target().capabilities().queues());
      assertEquals(1, memory.connections.get());
    }
  }

  @Test
  void everyConnectionMustFindTheSameExport() throws Exception {
    for (int what = 1; what < 3; what++) {
      int changed = what;
      AtomicInteger count = new AtomicInteger();
      Script script =
          wire -> {
            boolean second = count.incrementAndGet() == 2;
            wire.handshake(
                !(second && changed == 0),
                SIZE + (second && changed == 1 ? 512 : 0),
                second && changed == 2 ? ALL & ~NbdProtocol.NBD_FLAG_SEND_FUA : ALL);
            wire.awaitEnd();
          };
      try (ScriptedServer server = ScriptedServer.onTcp(script)) {
        String uri = server.uri("disk");
        TargetOpenException refusal =
            assertThrows(
                TargetOpenException.class,
                () -> Opened.at(uri, 2, Map.of("connections", "2")).close());
        assertEquals(Reason.FAILED, refusal.reason());
      }
    }
  }

  @Test
  void optionsAreChecked() {
    for (Map<String, String> options :
        List.of(
            Map.of("connections", "0"),
            Map.of("connections", "65"),
            Map.of("connections", "many"),
            Map.of("connections", "-1"),
            Map.of("io-timeout", "60"),
            Map.of("io-timeout", "0s"),
            Map.of("io-timeout", "soon"))) {
      TargetOpenException refusal =
          assertThrows(
              TargetOpenException.class, () -> Opened.at("nbd://127.0.0.1:1/", 1, options).close());
      assertEquals(Reason.INVALID, refusal.reason(), options.toString());
    }
  }

  // What may and what may not be sent.

  @Test
  void withoutFlushAFlushIsDoneAtOnce() throws Exception {
    MemoryServer memory = new MemoryServer(SIZE, NbdProtocol.NBD_FLAG_HAS_FLAGS, true);
    try (ScriptedServer server = ScriptedServer.onTcp(memory);
        Opened opened = Opened.at(server.uri("disk"))) {
      RecordedRequest durable = RecordedRequest.write(0, new byte[512], true);
      RecordedRequest flush = RecordedRequest.flush();
      opened.submit(durable, flush);
      assertNull(durable.await());
      assertNull(flush.await());
    }
    assertEquals(0, memory.seen(NbdProtocol.NBD_CMD_FLUSH).size());
    assertEquals(0, memory.seen(NbdProtocol.NBD_CMD_WRITE).getFirst().flags());
  }

  @Test
  void whatTheServerCannotDoIsNotSent() throws Exception {
    int flags = NbdProtocol.NBD_FLAG_HAS_FLAGS | NbdProtocol.NBD_FLAG_SEND_FLUSH;
    MemoryServer memory = new MemoryServer(SIZE, flags, true);
    try (ScriptedServer server = ScriptedServer.onTcp(memory);
        Opened opened = Opened.at(server.uri("disk"))) {
      for (RecordedRequest request :
          List.of(
              RecordedRequest.discard(0, 512),
              RecordedRequest.writeZeroes(0, 512, false, true),
              RecordedRequest.write(0, new byte[512], true))) {
        opened.submit(request);
        assertEquals(IoError.UNSUPPORTED, request.await(), request.toString());
      }
    }
    assertEquals(List.of(NbdProtocol.NBD_CMD_DISC), types(memory));
  }

  @Test
  void aReadOnlyExportIsNotWrittenTo() throws Exception {
    MemoryServer memory = new MemoryServer(SIZE, ALL | NbdProtocol.NBD_FLAG_READ_ONLY, true);
    try (ScriptedServer server = ScriptedServer.onTcp(memory);
        Opened opened = Opened.at(server.uri("disk"))) {
      RecordedRequest write = RecordedRequest.write(0, new byte[512], false);
      opened.submit(write);
      assertEquals(IoError.UNSUPPORTED, write.await());
    }
    assertEquals(List.of(NbdProtocol.NBD_CMD_DISC), types(memory));
  }

  @Test
  void whatIsOutOfBoundsIsNotSent() throws Exception {
    MemoryServer memory = new MemoryServer(SIZE, ALL, true);
    try (ScriptedServer server = ScriptedServer.onTcp(memory);
        Opened opened = Opened.at(server.uri("disk"))) {
      for (RecordedRequest request :
          List.of(
              RecordedRequest.read(SIZE, 512),
              RecordedRequest.read(SIZE - 512, 1024),
              RecordedRequest.read(-512, 512),
              RecordedRequest.read(Long.MAX_VALUE - 100, 512),
              RecordedRequest.read(0, 0))) {
        opened.submit(request);
        assertEquals(IoError.IO, request.await(), request.toString());
      }
    }
    assertEquals(List.of(NbdProtocol.NBD_CMD_DISC), types(memory));
  }

  @Test
  void whatIsTooLongIsNotSent() throws Exception {
    CompletableFuture<Integer> first = new CompletableFuture<>();
    Script script =
        wire -> {
          wire.handshake(true, 1L << 40, ALL);
          first.complete(wire.receiveRequest().type());
          wire.awaitEnd();
        };
    try (ScriptedServer server = ScriptedServer.onTcp(script);
        Opened opened = Opened.at(server.uri("disk"))) {
      for (RecordedRequest request :
          List.of(
              RecordedRequest.read(0, (4 << 20) + 512),
              RecordedRequest.write(0, new byte[(4 << 20) + 512], false),
              RecordedRequest.discard(0, (128L << 20) + 512),
              RecordedRequest.writeZeroes(0, (1L << 32) + 512, false, false))) {
        opened.submit(request);
        assertEquals(IoError.IO, request.await(), request.toString());
      }
    }
    assertEquals(NbdProtocol.NBD_CMD_DISC, first.get(10, TimeUnit.SECONDS));
  }

  private static List<Integer> types(MemoryServer memory) {
    // DISC is on its way when the client closes; it is the last that comes.
    while (memory.seen(NbdProtocol.NBD_CMD_DISC).isEmpty()) {
      Thread.onSpinWait();
    }
    return memory.requests.stream().map(ScriptedServer.Request::type).toList();
  }

  /// While the server offers another export than before, one is made every few seconds.
  @Test
  void aConnectionThatNoQueueUsesLeavesNoMemoryBehind() throws Exception {
    ByteBufAllocatorMetric memory =
        ((ByteBufAllocatorMetricProvider) ByteBufAllocator.DEFAULT).metric();
    try (ScriptedServer server = ScriptedServer.onTcp(new MemoryServer(1 << 20, ALL, true));
        UringLoops loops = new UringLoops(1)) {
      long before = memory.usedDirectMemory();
      for (int i = 0; i < 32; i++) {
        new NbdTargetProvider()
            .open(TargetUri.parse(server.uri("vol")), loops.openContext(Map.of()))
            .close();
      }
      long grown = memory.usedDirectMemory() - before;
      assertTrue(grown < 16 << 20, grown + " bytes");
    }
  }
}
