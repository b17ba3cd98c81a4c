package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_ABORT;
import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_GO;
import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_INFO;
import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_LIST;
import static io.ublkbridge.nbd.NbdProtocol.NBD_OPT_SET_META_CONTEXT;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REP_INFO;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REP_META_CONTEXT;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REP_SERVER;
import static io.ublkbridge.nbd.Refusals.assertRefusal;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.nbd.ScriptedServer.Request;
import io.ublkbridge.nbd.ScriptedServer.Script;
import io.ublkbridge.nbd.ScriptedServer.Wire;
import io.ublkbridge.target.Extent;
import io.ublkbridge.target.Inspection;
import io.ublkbridge.target.Offer;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import io.ublkbridge.target.TargetUri;
import io.ublkbridge.target.UringLoops;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/// A look at a server without using it: its exports, and the map of one.
final class InspectionTest {
  private static final int FLAGS = NbdProtocol.NBD_FLAG_HAS_FLAGS;
  private static final int CONTEXT = 0x7e57;
  private static final long GIB = 1L << 30;

  @FunctionalInterface
  private interface Look {
    void at(Inspection inspection) throws Exception;
  }

  private static void inspect(String export, Script script, Look look) throws Exception {
    inspect(export, Map.of(), script, look);
  }

  private static void inspect(String export, Map<String, String> options, Script script, Look look)
      throws Exception {
    try (ScriptedServer server = ScriptedServer.onTcp(script);
        UringLoops loops = new UringLoops(1);
        Inspection inspection =
            new NbdTargetProvider()
                .inspect(TargetUri.parse(server.uri(export)), loops.openContext(options))) {
      look.at(inspection);
    }
  }

  // Exports.

  private static void listEntry(Wire wire, String name, String description) throws Exception {
    byte[] bytes = name.getBytes(UTF_8);
    wire.replyToOption(
        NBD_OPT_LIST,
        NBD_REP_SERVER,
        Bytes.of().u32(bytes.length).raw(bytes).raw(description.getBytes(UTF_8)).array());
  }

  private static void expectInfo(Wire wire, String name) throws Exception {
    byte[] bytes = name.getBytes(UTF_8);
    assertArrayEquals(
        Bytes.of().u32(bytes.length).raw(bytes).u16(3).u16(3).u16(1).u16(2).array(),
        wire.expectOption(NBD_OPT_INFO).data());
  }

  private static void info(Wire wire, String name, long sizeBytes) throws Exception {
    expectInfo(wire, name);
    wire.infoExport(NBD_OPT_INFO, sizeBytes, FLAGS);
    wire.replyToOption(
        NBD_OPT_INFO,
        NBD_REP_INFO,
        Bytes.of().u16(NbdProtocol.NBD_INFO_DESCRIPTION).raw("by INFO".getBytes(UTF_8)).array());
    wire.ack(NBD_OPT_INFO);
  }

  private static void refuseContext(Wire wire) throws Exception {
    wire.expectOption(NBD_OPT_SET_META_CONTEXT);
    wire.refuse(NBD_OPT_SET_META_CONTEXT, NbdProtocol.NBD_REP_ERR_UNSUP, "");
  }

  private static void refuseDefaultExport(Wire wire) throws Exception {
    wire.expectOption(NBD_OPT_GO);
    wire.refuse(NBD_OPT_GO, NbdProtocol.NBD_REP_ERR_UNKNOWN, "no default");
    wire.expectOption(NBD_OPT_ABORT);
  }

  private static void go(Wire wire, long sizeBytes) throws Exception {
    wire.expectOption(NBD_OPT_GO);
    wire.infoExport(sizeBytes, FLAGS);
    wire.ack(NBD_OPT_GO);
  }

  private static Offer offer(String name, long sizeBytes, String description) {
    OptionalLong size = sizeBytes == 0 ? OptionalLong.empty() : OptionalLong.of(sizeBytes);
    return new Offer(name, size, description);
  }

  @Test
  void exportsHaveSizesAndDescriptions() throws Exception {
    inspect(
        "",
        wire -> {
          wire.untilGo(true);
          wire.expectOption(NBD_OPT_LIST);
          listEntry(wire, "", "by LIST");
          listEntry(wire, "b\u001b[31m", "");
          listEntry(wire, "tls", "");
          listEntry(wire, "lazy", "");
          wire.ack(NBD_OPT_LIST);
          info(wire, "", 1 << 20);
          // Asked after as the server spells it, told without what a terminal would obey.
          info(wire, "b\u001b[31m", 5);
          expectInfo(wire, "tls");
          wire.refuse(NBD_OPT_INFO, NbdProtocol.NBD_REP_ERR_TLS_REQD, "");
          info(wire, "lazy", 0);
          refuseContext(wire);
          go(wire, 1 << 20);
          wire.awaitEnd();
        },
        inspection -> {
          assertEquals(
              List.of(
                  offer("", 1 << 20, "by LIST"),
                  offer("b [31m", 5, "by INFO"),
                  offer("tls", 0, ""),
                  offer("lazy", 0, "by INFO")),
              inspection.offers());
          assertEquals(1 << 20, inspection.target().orElseThrow().geometry().sizeBytes());
        });
  }

  @Test
  void aServerWithoutDefaultExportStillShowsWhatItHas() throws Exception {
    inspect(
        "",
        wire -> {
          wire.untilGo(false);
          wire.list("a", "b");
          info(wire, "a", 512);
          expectInfo(wire, "b");
          wire.refuse(NBD_OPT_INFO, NbdProtocol.NBD_REP_ERR_POLICY, "");
          refuseDefaultExport(wire);
        },
        inspection -> {
          assertEquals(List.of(offer("a", 512, "by INFO"), offer("b", 0, "")), inspection.offers());
          assertTrue(inspection.target().isEmpty());
          TargetOpenException refusal =
              assertThrows(TargetOpenException.class, () -> inspection.readMap(_ -> {}));
          assertRefusal(Reason.FAILED, "no default export", refusal);
        });
  }

  @Test
  void aServerThatKnowsNoInfoIsAskedOnce() throws Exception {
    inspect(
        "",
        wire -> {
          wire.untilGo(false);
          wire.list("a", "b");
          expectInfo(wire, "a");
          wire.refuse(NBD_OPT_INFO, NbdProtocol.NBD_REP_ERR_UNSUP, "");
          refuseDefaultExport(wire);
        },
        inspection ->
            assertEquals(List.of(offer("a", 0, ""), offer("b", 0, "")), inspection.offers()));
  }

  @Test
  void notEveryExportOfAGreatListIsAskedAfter() throws Exception {
    String[] names = IntStream.range(0, 1000).mapToObj(Integer::toString).toArray(String[]::new);
    inspect(
        "",
        wire -> {
          wire.untilGo(false);
          wire.list(names);
          for (int i = 0; i < ExportCatalog.ASKED_MAX; i++) {
            info(wire, names[i], 512);
          }
          refuseDefaultExport(wire);
        },
        inspection -> assertEquals(names.length, inspection.offers().size()));
  }

  @Test
  void aServerWithNothingToShowIsAFailure() throws Exception {
    TargetOpenException refusal =
        assertThrows(
            TargetOpenException.class,
            () ->
                inspect(
                    "",
                    wire -> {
                      wire.untilGo(false);
                      wire.list();
                      refuseDefaultExport(wire);
                    },
                    _ -> {}));
    assertRefusal(Reason.FAILED, "does not know the default export: no default", refusal);
  }

  @Test
  void whoNamesAnExportIsNotShownOthersInstead() throws Exception {
    TargetOpenException refusal =
        assertThrows(
            TargetOpenException.class,
            () ->
                inspect(
                    "vol",
                    wire -> {
                      wire.untilGo(false);
                      wire.expectOption(NBD_OPT_GO);
                      wire.refuse(NBD_OPT_GO, NbdProtocol.NBD_REP_ERR_UNKNOWN, "");
                      wire.list("a");
                      wire.expectOption(NBD_OPT_ABORT);
                    },
                    _ -> {}));
    assertRefusal(Reason.FAILED, "does not know export 'vol'", refusal);
    assertEquals("the server has: 'a'", refusal.remedy());
  }

  // The map.

  /// What the server answers to the next request for a map.
  @SuppressWarnings("ArrayRecordComponent")
  private record Answer(long offset, long... lengthsAndFlags) {}

  /// Serves a map by answers that must be asked for in their order.
  private static Script map(HeaderForm headers, long sizeBytes, Answer... answers) {
    return wire -> {
      wire.untilGo(headers);
      chooseContext(wire);
      go(wire, sizeBytes);
      for (Answer answer : answers) {
        Request request = wire.receiveRequest();
        assertEquals(NbdProtocol.NBD_CMD_BLOCK_STATUS, request.type());
        assertEquals(0, request.flags());
        assertEquals(answer.offset(), request.offset());
        assertTrue(request.length() > 0 && request.offset() + request.length() <= sizeBytes);
        wire.chunk(
            1,
            headers.extendedHeaders() ? 6 : 5,
            request,
            status(headers, CONTEXT, answer.lengthsAndFlags()));
      }
      wire.awaitEnd();
    };
  }

  private static void chooseContext(Wire wire) throws Exception {
    byte[] asked = wire.expectOption(NBD_OPT_SET_META_CONTEXT).data();
    byte[] query = NbdProtocol.BASE_ALLOCATION.getBytes(UTF_8);
    assertArrayEquals(
        Bytes.of().u32(3).raw("vol".getBytes(UTF_8)).u32(1).u32(query.length).raw(query).array(),
        asked);
    wire.replyToOption(
        NBD_OPT_SET_META_CONTEXT, NBD_REP_META_CONTEXT, Bytes.of().u32(CONTEXT).raw(query).array());
    wire.ack(NBD_OPT_SET_META_CONTEXT);
  }

  /// The payload of a status chunk.
  static byte[] status(HeaderForm headers, int context, long... lengthsAndFlags) {
    Bytes payload = Bytes.of().u32(context);
    if (headers.extendedHeaders()) {
      payload.u32(lengthsAndFlags.length / 2);
    }
    for (long number : lengthsAndFlags) {
      if (headers.extendedHeaders()) {
        payload.u64(number);
      } else {
        payload.u32((int) number);
      }
    }
    return payload.array();
  }

  private static List<Extent> mapOf(Script script) throws Exception {
    List<Extent> extents = new ArrayList<>();
    inspect("vol", script, inspection -> inspection.readMap(extents::add));
    return extents;
  }

  @ParameterizedTest
  @EnumSource(
      value = HeaderForm.class,
      names = {"STRUCTURED", "EXTENDED"})
  void theFourTypesAreToldApart(HeaderForm headers) throws Exception {
    assertEquals(
        List.of(
            new Extent(0, 4096, Extent.Type.DATA),
            new Extent(4096, 512, Extent.Type.UNDEFINED),
            new Extent(4608, 512, Extent.Type.ZERO),
            new Extent(5120, 1024, Extent.Type.HOLE)),
        mapOf(
            map(
                headers,
                6144,
                // A flag that nobody knows yet changes nothing.
                new Answer(0, 4096, 4, 512, 1, 512, 2, 1024, 3))));
  }

  @Test
  void answersAreJoinedWhereTheyMeet() throws Exception {
    assertEquals(
        List.of(
            new Extent(0, 1024, Extent.Type.DATA),
            new Extent(1024, 4096, Extent.Type.HOLE),
            new Extent(5120, 3072, Extent.Type.DATA)),
        mapOf(
            map(
                HeaderForm.STRUCTURED,
                8192,
                new Answer(0, 512, 0),
                new Answer(512, 512, 0, 2048, 3),
                new Answer(3072, 1024, 3, 1024, 3, 512, 0),
                // The server knows more than it was asked, and more than there is.
                new Answer(5632, 99_999, 0))));
  }

  @Test
  void aLongDiskIsAskedForInPieces() throws Exception {
    long piece = 4 * GIB - 65536;
    assertEquals(
        List.of(new Extent(0, 9 * GIB, Extent.Type.HOLE)),
        mapOf(
            map(
                HeaderForm.STRUCTURED,
                9 * GIB,
                new Answer(0, piece, 3),
                new Answer(piece, piece, 3),
                new Answer(2 * piece, piece, 3))));
  }

  @Test
  void aLongDiskIsAskedForAtOnceWithExtendedHeaders() throws Exception {
    assertEquals(
        List.of(
            new Extent(0, 9 * GIB, Extent.Type.HOLE), new Extent(9 * GIB, GIB, Extent.Type.DATA)),
        mapOf(map(HeaderForm.EXTENDED, 10 * GIB, new Answer(0, 9 * GIB, 3, GIB, 0))));
  }

  private static TargetOpenException mapRefusal(Map<String, String> options, Script script) {
    return assertThrows(
        TargetOpenException.class,
        () -> inspect("vol", options, script, inspection -> inspection.readMap(_ -> {})));
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void aServerNeedNotKnowTheMap(boolean knowsContexts) {
    assertRefusal(
        Reason.UNSUPPORTED,
        "does not tell where",
        mapRefusal(
            Map.of(),
            wire -> {
              wire.untilGo(knowsContexts);
              if (knowsContexts) {
                wire.expectOption(NBD_OPT_SET_META_CONTEXT);
                wire.ack(NBD_OPT_SET_META_CONTEXT);
              }
              go(wire, 1 << 20);
              wire.awaitEnd();
            }));
  }

  private static Script afterRequest(Script answer) {
    return wire -> {
      wire.untilGo(true);
      chooseContext(wire);
      go(wire, 1 << 20);
      wire.receiveRequest();
      answer.run(wire);
    };
  }

  @Test
  void aFailedMapIsAFailure() {
    assertRefusal(
        Reason.FAILED,
        "failed to tell where the export holds data, from byte 0 on",
        mapRefusal(
            Map.of(),
            wire -> {
              wire.untilGo(true);
              chooseContext(wire);
              go(wire, 1 << 20);
              wire.simpleReply(5, wire.receiveRequest().cookie());
              wire.awaitEnd();
            }));
    assertRefusal(
        Reason.UNREACHABLE, "closed the connection", mapRefusal(Map.of(), afterRequest(_ -> {})));
    assertRefusal(
        Reason.TIMED_OUT,
        "within 100ms",
        mapRefusal(Map.of("io-timeout", "100ms"), afterRequest(Wire::awaitEnd)));
  }

  @Test
  void contextsThatCannotBe() {
    byte[][] wrong = {
      new byte[3], Bytes.of().u32(1).raw("base:something".getBytes(UTF_8)).array(),
    };
    for (byte[] reply : wrong) {
      TargetOpenException refusal =
          mapRefusal(
              Map.of(),
              wire -> {
                wire.untilGo(true);
                wire.expectOption(NBD_OPT_SET_META_CONTEXT);
                wire.replyToOption(NBD_OPT_SET_META_CONTEXT, NBD_REP_META_CONTEXT, reply);
                wire.awaitEnd();
              });
      assertRefusal(Reason.UNREACHABLE, "metadata context", refusal);
    }
  }
}
