package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.ublkbridge.device.QueueLoops;
import io.ublkbridge.device.TargetRegistry;
import io.ublkbridge.target.Extent;
import io.ublkbridge.target.Inspection;
import io.ublkbridge.target.Offer;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetUri;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// What real servers tell of their exports without any being attached.
@Tag("linux-7")
final class ProtocolIT {
  private static final long MIB = 1 << 20;

  @TempDir Path dir;

  @FunctionalInterface
  private interface Look<T> {
    T at(Inspection inspection) throws TargetOpenException;
  }

  private static <T> T look(String uri, Look<T> look) throws TargetOpenException {
    try (QueueLoops loops = new QueueLoops(1, 16);
        Inspection inspection =
            TargetRegistry.load()
                .inspect(
                    TargetUri.parse(uri),
                    new OpenContext(loops.loop(0), false, Duration.ofMinutes(1), Map.of()))) {
      return look.at(inspection);
    }
  }

  private static List<Extent> map(String uri) throws TargetOpenException {
    List<Extent> extents = new ArrayList<>();
    return look(
        uri,
        inspection -> {
          inspection.readMap(extents::add);
          return extents;
        });
  }

  private Path sparseImage(String size) {
    Path image = dir.resolve("sparse.img");
    Command.shell(
        """
        truncate -s %2$s %1$s
        dd if=/dev/urandom of=%1$s bs=64K seek=3 count=2 conv=notrunc status=none
        dd if=/dev/urandom of=%1$s bs=64K seek=600 count=1 conv=notrunc,fsync status=none
        """
            .formatted(image, size));
    return image;
  }

  private static List<Extent> holesOfSparseImage(long sizeBytes) {
    return List.of(
        new Extent(0, 3 << 16, Extent.Type.HOLE),
        new Extent(3 << 16, 2 << 16, Extent.Type.DATA),
        new Extent(5 << 16, 595 << 16, Extent.Type.HOLE),
        new Extent(600 << 16, 1 << 16, Extent.Type.DATA),
        new Extent(601 << 16, sizeBytes - (601 << 16), Extent.Type.HOLE));
  }

  /// nbdkit by structured replies, 4 GiB at a time; qemu-nbd by extended headers, all at once.
  @ParameterizedTest
  @EnumSource(
      value = NbdServer.Kind.class,
      names = {"NBDKIT", "QEMU_NBD"})
  void theMapIsThatOfTheFile(NbdServer.Kind kind) throws TargetOpenException {
    long size = 100L << 30;
    try (NbdServer server = NbdServer.serve(kind, sparseImage(Long.toString(size)))) {
      assertEquals(holesOfSparseImage(size), map(server.uri()));
    }
  }

  @Test
  void nbdServerHasNoMap() {
    try (NbdServer server = NbdServer.serve(NbdServer.Kind.NBD_SERVER, sparseImage("64M"))) {
      TargetOpenException refusal =
          assertThrows(TargetOpenException.class, () -> map(server.uri()));
      assertEquals(TargetOpenException.Reason.UNSUPPORTED, refusal.reason());
    }
  }

  @Test
  void theCommandPrintsTheMap() {
    try (NbdServer server = NbdServer.serve(NbdServer.Kind.QEMU_NBD, sparseImage("64M"))) {
      assertEquals(
          """
            OFFSET   LENGTH TYPE
                 0   196608 hole
            196608   131072 data
            327680 38993920 hole
          39321600    65536 data
          39387136 27721728 hole
          """,
          Command.ublkBridge("info", "--map", server.uri()).succeeded().output());
    }
  }

  @Test
  void everyServerListsItsExports() throws TargetOpenException {
    Path image = sparseImage("64M");
    try (NbdServer qemu = NbdServer.qemuNbd(image, "-x", "vol", "-D", "a sparse disk")) {
      assertEquals(
          List.of(new Offer("vol", OptionalLong.of(64 * MIB), "a sparse disk")),
          look(qemu.uri(), Inspection::offers));
    }
    try (NbdServer nbdkit = NbdServer.nbdkit("file", image.toString())) {
      assertEquals(
          List.of(new Offer("", OptionalLong.of(64 * MIB), "")),
          look(nbdkit.uri(), Inspection::offers));
    }
    try (NbdServer nbdServer = NbdServer.serve(NbdServer.Kind.NBD_SERVER, image)) {
      String place = nbdServer.uri().replaceFirst("disk$", "");
      // It finds a size out only when the export is opened.
      assertEquals(
          List.of(new Offer("disk", OptionalLong.empty(), "")), look(place, Inspection::offers));
    }
  }

  @Test
  void aVsockWithoutServerIsUnreachable() {
    NbdServer.assumeVsock();
    TargetOpenException refusal =
        assertThrows(
            TargetOpenException.class, () -> look("nbd+vsock://1:4711/", Inspection::offers));
    assertEquals("connection refused", refusal.getMessage());
  }
}
