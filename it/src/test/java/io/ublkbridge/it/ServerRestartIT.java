package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// A server that is killed again and again under a file system that is written, synced and
/// verified: nobody above the disk sees anything of it.
///
/// `-Dsoak.seconds=N` makes each run longer.
final class ServerRestartIT {
  private static final int SECONDS = Integer.getInteger("soak.seconds", 7);
  private static final long KILL_PERIOD_NANOS = TimeUnit.SECONDS.toNanos(3);

  @TempDir Path dir;
  @TempDir Path mountPoint;

  @ParameterizedTest
  @CsvSource({"NBDKIT, 1", "NBDKIT, 4", "QEMU_NBD, 4"})
  void aKilledServerIsNotNoticed(NbdServer.Kind kind, String connections) throws Exception {
    try (NbdServer server = NbdServer.serve(kind, image())) {
      assertUnnoticed(server, Map.of("connections", connections));
    }
  }

  /// The cache of this nbdkit is gone with it: what it acknowledged and nobody flushed is lost.
  @Test
  void aServerThatLosesItsCacheLosesNothing() throws Exception {
    try (NbdServer server =
        NbdServer.nbdkit("--filter=cache", "file", image().toString(), "cache=writeback")) {
      assertUnnoticed(server, Map.of());
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
      server.kill();
      server.restart();
      Command failed = Command.run("sync", disk.path().toString());
      assertTrue(failed.errors().contains("Input/output error"), failed.errors());
      Command.shell(write + " && sync " + disk.path());
    }
  }

  private Path image() {
    Path image = dir.resolve("disk.img");
    Command.shell("truncate -s 512M " + image);
    return image;
  }

  private void assertUnnoticed(NbdServer server, Map<String, String> options) throws Exception {
    try (ServedDisk disk = ServedDisk.serve(server.uri(), options, ServedDisk.queues(2))) {
      Command.shell("dmesg --clear && mkfs.ext4 -q " + disk.path());
      disk.mount(mountPoint);
      AtomicBoolean over = new AtomicBoolean();
      Thread killer = Thread.ofPlatform().start(() -> killUntil(server, over));
      Command written;
      try {
        written = writeAndVerify();
      } finally {
        over.set(true);
        killer.join();
      }
      written.succeeded();
      Command.shell("umount " + mountPoint + " && e2fsck -fn " + disk.path());
      Object reconnects = disk.details().get("reconnects");
      assertTrue(reconnects instanceof Long count && count >= SECONDS / 6, "it was killed");
      System.out.printf(
          "%s reconnects, %s writes done again%n",
          reconnects, disk.details().get("writesDoneAgain"));
      assertEquals("", Command.shell("dmesg | grep -i 'I/O error' || true"));
    }
  }

  private static void killUntil(NbdServer server, AtomicBoolean over) {
    while (!over.get()) {
      LockSupport.parkNanos(KILL_PERIOD_NANOS);
      server.kill();
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
