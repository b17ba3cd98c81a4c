package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import io.ublkbridge.it.InteropServer.Proof;
import io.ublkbridge.it.InteropServer.Way;
import io.ublkbridge.it.NbdServer.Kind;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Every server, without TLS and by every kind of proof, on every kind of socket, holds what is
/// written to it, blocks and files.
///
/// `-Dsoak.mebibytes=N` writes more, to one server after the other, and files to each of them.
@Tag("linux-6.12")
final class InteropIT {
  private static final int MEBIBYTES = Integer.getInteger("soak.mebibytes", 2);
  static final boolean LONG = MEBIBYTES > 16;

  private static TlsFiles files = new TlsFiles(Path.of(""));

  @TempDir Path dir;
  @TempDir Path mountPoint;

  @BeforeAll
  static void makeFiles() {
    files = TlsFiles.make();
  }

  /// What is tried at the same time: all of a server, since waiting is what takes long then.
  static Stream<List<Way>> ways() {
    Stream<List<Way>> servers = Stream.of(Kind.values()).map(Way::all);
    return LONG ? servers.flatMap(List::stream).map(List::of) : servers;
  }

  @ParameterizedTest
  @MethodSource("ways")
  void keepsWhatWasWritten(List<Way> ways) {
    List<AutoCloseable> open = new ArrayList<>();
    try {
      List<String> uris = new ArrayList<>();
      StringBuilder jobs = new StringBuilder();
      for (Way way : ways) {
        InteropServer server = serve(way);
        open.addFirst(server);
        uris.add(server.uri(files));
        Disk disk = Disk.serve(server.uri(files));
        open.addFirst(disk);
        jobs.append(" --name=").append(way).append(" --filename=").append(disk.path());
      }
      verify(jobs.toString());
      if (LONG) {
        close(open.removeFirst());
        FileTree.assertSurvives(uris.getFirst(), "mkfs.ext4 -q", mountPoint, 2100);
      }
    } finally {
      open.forEach(InteropIT::close);
    }
  }

  /// In the long form with all of the others.
  @ParameterizedTest
  @MethodSource("certified")
  void filesSurviveInsideTls(Way way) {
    try (InteropServer server = serve(way)) {
      FileTree.assertSurvives(server.uri(files), "mkfs.ext4 -q", mountPoint, 100);
    }
  }

  static Stream<Way> certified() {
    return Stream.of(
        new Way(Kind.NBDKIT, Proof.PSK, true),
        new Way(Kind.QEMU_NBD, Proof.SERVER_CERTIFICATE, false),
        new Way(Kind.NBD_SERVER, Proof.BOTH_CERTIFICATES, false));
  }

  /// nbdkit is the one that has vsock.
  @Test
  void vsockHoldsWhatWasWrittenInsideTls() {
    NbdServer.assumeVsock();
    try (NbdServer server =
            NbdServer.nbdkitOnVsock(
                "--tls=require",
                "--tls-certificates=" + files.directory("good"),
                "file",
                image("vsock").toString());
        ServedDisk disk =
            Disk.serve(
                server.uri().replaceFirst("nbd", "nbds")
                    + "?tls-hostname=localhost&tls-certificates="
                    + files.directory("nobody"))) {
      assertEquals(true, disk.details().get("tls"));
      verify(" --name=vsock --filename=" + disk.path());
    }
  }

  private Path image(String name) {
    Path image = dir.resolve(name);
    Command.shell("truncate -s " + Math.max(32, 2 * MEBIBYTES) + "M " + image);
    return image;
  }

  private InteropServer serve(Way way) {
    return InteropServer.serve(way, image(way.toString()), files.directory("good"));
  }

  private static void verify(String jobs) {
    String output =
        Command.shell(
            "fio --thread --rw=randwrite --bsrange=512-256k --direct=1 --ioengine=libaio"
                + " --iodepth=16 --randseed=1 --verify=crc32c --verify_fatal=1 --do_verify=1"
                + " --size="
                + MEBIBYTES
                + "m"
                + jobs
                + " 2>&1");
    assertFalse(output.contains("verify: bad"), output);
  }

  private static void close(AutoCloseable opened) {
    try {
      opened.close();
    } catch (Exception e) {
      throw new AssertionError(e);
    }
  }
}
