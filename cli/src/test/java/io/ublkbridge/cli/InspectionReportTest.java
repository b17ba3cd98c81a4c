package io.ublkbridge.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Extent;
import io.ublkbridge.target.Inspection;
import io.ublkbridge.target.Offer;
import io.ublkbridge.target.TargetOpenException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.Writer;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.junit.jupiter.api.Test;

class InspectionReportTest {
  private final StringWriter out = new StringWriter();
  private final InspectionReport report =
      new InspectionReport(
          "nbd://h/",
          new Answer(new PrintWriter(out, true), new PrintWriter(Writer.nullWriter(), true)));

  /// A server of which only the exports are seen, and a map that may break off.
  private record Seen(List<Offer> offers, List<Extent> extents, boolean breaksOff)
      implements Inspection {
    @Override
    public Optional<BlockTarget> target() {
      return Optional.empty();
    }

    @Override
    public void readMap(ExtentVisitor map) throws TargetOpenException {
      extents.forEach(map::extent);
      if (breaksOff) {
        throw new TargetOpenException(
            TargetOpenException.Reason.UNREACHABLE, "the server is gone", null);
      }
    }

    @Override
    public void close() {}
  }

  private static Seen exports() {
    return new Seen(
        List.of(
            new Offer("", OptionalLong.of(1 << 20), ""),
            new Offer("root", OptionalLong.empty(), "the root disk")),
        List.of(),
        false);
  }

  private static Seen map(boolean breaksOff) {
    return new Seen(
        List.of(),
        List.of(
            new Extent(0, 65536, Extent.Type.DATA),
            new Extent(65536, 1L << 40, Extent.Type.HOLE),
            new Extent(65536 + (1L << 40), 512, Extent.Type.UNDEFINED)),
        breaksOff);
  }

  @Test
  void exportsAreATable() {
    report.text(exports());

    assertEquals(
        """
        source  nbd://h/

        EXPORT    SIZE DESCRIPTION
        (default)   1M
        root         - the root disk
        """,
        out.toString());
  }

  @Test
  void exportsAsJsonHaveBytes() throws Exception {
    report.json(exports(), false);

    assertEquals(
        "{\"version\":1,\"source\":\"nbd://h/\",\"exports\":[{\"name\":\"\",\"size\":1048576},"
            + "{\"name\":\"root\",\"description\":\"the root disk\"}]}\n",
        out.toString());
  }

  @Test
  void aMapIsATable() throws Exception {
    report.map(map(false));

    assertEquals(
        """
                     OFFSET              LENGTH TYPE
                          0               65536 data
                      65536       1099511627776 hole
              1099511693312                 512 undefined
        """,
        out.toString());
  }

  @Test
  void aMapIsPartOfTheJson() throws Exception {
    report.json(map(false), true);

    assertEquals(
        "{\"version\":1,\"source\":\"nbd://h/\",\"map\":["
            + "{\"offset\":0,\"length\":65536,\"type\":\"data\"},"
            + "{\"offset\":65536,\"length\":1099511627776,\"type\":\"hole\"},"
            + "{\"offset\":1099511693312,\"length\":512,\"type\":\"undefined\"}]}\n",
        out.toString());
  }

  @Test
  void aMapThatBreaksOffIsNotTakenForTheWhole() {
    CommandFailure failure = assertThrows(CommandFailure.class, () -> report.json(map(true), true));

    assertEquals(ExitCode.UNREACHABLE, failure.exitCode());
    assertEquals("cannot map nbd://h/: the server is gone", failure.message());
    assertTrue(out.toString().endsWith("\"type\":\"undefined\"}"), out.toString());
    assertThrows(CommandFailure.class, () -> report.map(map(true)));
  }

  @Test
  void aMapThatCannotBeHadLeavesNoHeading() {
    Seen nothing = new Seen(List.of(), List.of(), true);

    assertThrows(CommandFailure.class, () -> report.map(nothing));
    assertEquals("", out.toString());
  }
}
