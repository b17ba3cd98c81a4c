package io.ublkbridge.it;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import io.ublkbridge.it.InteropServer.Proof;
import io.ublkbridge.it.InteropServer.Way;
import io.ublkbridge.it.NbdServer.Kind;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// A server that is killed again and again under a file system that is written, synced and
/// verified: nobody above the disk sees anything of it.
///
/// `-Dsoak.seconds=N` makes each run longer. A few ways to set a server up are run, in which each
/// server, kind of proof, socket and number of connections appears; from a minute on each server is
/// run plain and with TLS, with one connection and with several.
@Tag("linux-7")
final class ServerRestartIT {
  private static final int SECONDS = Integer.getInteger("soak.seconds", 7);
  private static final long KILL_PERIOD_NANOS = TimeUnit.SECONDS.toNanos(3);

  private static TlsFiles files = new TlsFiles(Path.of(""));

  @TempDir Path dir;
  @TempDir Path mountPoint;

  static Stream<Arguments> setups() {
    Stream<Arguments> few =
        Stream.of(
            arguments(new Way(Kind.NBDKIT, Proof.NONE, true), 1),
            arguments(new Way(Kind.NBDKIT, Proof.BOTH_CERTIFICATES, false), 4),
            arguments(new Way(Kind.QEMU_NBD, Proof.PSK, true), 1),
            arguments(new Way(Kind.QEMU_NBD, Proof.NONE, false), 4));
    Stream<Arguments> more =
        Stream.of(
            arguments(new Way(Kind.NBDKIT, Proof.NONE, true), 4),
            arguments(new Way(Kind.NBDKIT, Proof.BOTH_CERTIFICATES, false), 1),
            arguments(new Way(Kind.QEMU_NBD, Proof.BOTH_CERTIFICATES, false), 1),
            arguments(new Way(Kind.QEMU_NBD, Proof.BOTH_CERTIFICATES, true), 4),
            arguments(new Way(Kind.QEMU_NBD, Proof.NONE, false), 1));
    return SECONDS < 60 ? few : Stream.concat(few, more);
  }

  @BeforeAll
  static void makeFiles() {
    files = TlsFiles.make();
  }

  @ParameterizedTest
  @MethodSource("setups")
  void aKilledServerIsNotNoticed(Way way, int connections) throws Exception {
    try (InteropServer server = InteropServer.serve(way, image(), files.directory("good"))) {
      assertUnnoticed(
          server.server(), server.uri(files), Map.of("connections", Integer.toString(connections)));
    }
  }

  /// The cache of this nbdkit is gone with it: what it acknowledged and nobody flushed is lost.
  @Test
  void aServerThatLosesItsCacheLosesNothing() throws Exception {
    try (NbdServer server =
        NbdServer.nbdkit("--filter=cache", "file", image().toString(), "cache=writeback")) {
      assertUnnoticed(server, server.uri(), Map.of());
    }
  }

  /// Without the journal the loss is told by the next flush, once.
  @Test
  void withoutTheJournalTheNextFlushFails() {
    try (NbdServer server =
            NbdServer.nbdkit("--filter=cache", "file", image().toString(), "cache=writeback");
        ServedDisk disk = ServedDisk.serve(server.uri(), Map.of("write-journal", "off"))) {
      String write = "dd if=/dev/zero of=" + disk.path() + " bs=64k count=8 oflag=direct";
      Command.shell(write);
      String log =
          logOf(() -> {
            server.kill();
            server.restart();
            Command failed = Command.run("sync", disk.path().toString());
            assertTrue(failed.errors().contains("Input/output error"), failed.errors());
          });
      assertTrue(log.contains("they may be lost, the next flush will fail"), log);
      Command.shell(write + " && sync " + disk.path());
    }
  }

  /// What the target says meanwhile.
  private static String logOf(Runnable action) {
    PrintStream err = System.err;
    ByteArrayOutputStream heard = new ByteArrayOutputStream();
    System.setErr(new PrintStream(heard, true, UTF_8));
    try {
      action.run();
    } finally {
      System.setErr(err);
    }
    return heard.toString(UTF_8);
  }

  private Path image() {
    Path image = dir.resolve("disk.img");
    Command.shell("truncate -s 512M " + image);
    return image;
  }

  private void assertUnnoticed(NbdServer server, String uri, Map<String, String> options)
      throws Exception {
    try (ServedDisk disk = ServedDisk.serve(uri, options, ServedDisk.queues(2))) {
      Command.shell("dmesg --clear && mkfs.ext4 -q " + disk.path());
      disk.mount(mountPoint);
      AtomicBoolean over = new AtomicBoolean();
      AtomicInteger kills = new AtomicInteger();
      Thread killer = Thread.ofPlatform().start(() -> killUntil(server, over, kills));
      Command written;
      try {
        written = writeAndVerify();
      } finally {
        over.set(true);
        killer.join();
      }
      written.succeeded();
      Command.shell("umount " + mountPoint + " && e2fsck -fn " + disk.path());
      System.out.printf(
          "%s kills, %s reconnects, %s writes done again%n",
          kills, disk.details().get("reconnects"), disk.details().get("writesDoneAgain"));
      assertTrue(kills.get() >= SECONDS / 6, "it was killed");
      // An emulator may take longer for a TLS handshake than the server lives.
      long least = Boolean.TRUE.equals(disk.details().get("tls")) ? 1 : SECONDS / 6;
      assertTrue(disk.details().get("reconnects") instanceof Long count && count >= least);
      assertEquals("", Command.shell("dmesg | grep -i 'I/O error' || true"));
    }
  }

  private static void killUntil(NbdServer server, AtomicBoolean over, AtomicInteger kills) {
    while (!over.get()) {
      LockSupport.parkNanos(KILL_PERIOD_NANOS);
      server.kill();
      kills.incrementAndGet();
      server.restart();
    }
  }

  private Command writeAndVerify() {
    return Command.run(
        "fio",
        "--name=restart",
        "--directory=" + mountPoint,
        "--size=64M",
        "--rw=randwrite",
        "--bs=4k",
        "--ioengine=libaio",
        "--direct=1",
        "--iodepth=32",
        "--fsync=64",
        "--verify=crc32c",
        "--verify_backlog=2048",
        "--time_based",
        "--runtime=" + SECONDS);
  }
}
