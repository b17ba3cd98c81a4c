package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.device.UblkDevice;
import io.ublkbridge.it.NbdServer.Kind;
import io.ublkbridge.kernel.ControlDevice;
import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.UblkAbi;
import io.ublkbridge.kernel.UblkException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/// Stopping a disk that somebody opens at that moment, and disks whose partitions nobody asked for.
@ExtendWith(NothingLeftBehind.class)
final class StopIT {
  @TempDir Path dir;

  @Test
  void aDiskThatIsOpenIsNotTakenAway() throws Exception {
    if (!ServedDisk.kernelHas(UblkAbi.UBLK_F_SAFE_STOP_DEV)) {
      // It cannot tell whether somebody has the disk open.
      return;
    }
    try (ServedDisk disk = Disk.serve("memory:16M")) {
      Command.shell("udevadm settle");
      try (FileChannel _ = FileChannel.open(disk.path(), StandardOpenOption.READ)) {
        assertFalse(disk.stopUnlessOpen());
        Command.shell("cmp -n 16M " + disk.path() + " /dev/zero");
      }
      assertTrue(disk.stopUnlessOpen());
      assertTrue(Files.notExists(disk.path()));
    }
  }

  /// Whoever deletes a device behind our back waits until its server has let go of it.
  @Test
  @Tag("linux-6.12")
  void aDeletedDeviceTakesItsServerAlong() {
    Disk disk = Disk.attach("memory:16M", "--name", "deleted");
    String log = Command.json("log", "status", "deleted", "--json");
    int id = Integer.parseInt(disk.name().substring("ublkb".length()));
    try (ControlDevice control = ControlDevice.open()) {
      UblkDevice.forceDelete(control, id, Duration.ofSeconds(30));
    }
    Command.shell(
        "for i in $(seq 100); do [ -e /run/ublk-bridge/%d.json ] || exit 0; sleep 0.1; done; exit 1"
            .formatted(id));
    Command.shell("grep 'another program has taken the device away' %1$s; rm %1$s".formatted(log));
    Command.ublkBridge("detach", "deleted").exited(3);
  }

  /// A server that waited in the kernel for its own STOP_DEV could not end when it is killed: the
  /// kernel waits there for requests that fail only once the server has ended.
  @Test
  @Tag("linux-7")
  void aServerThatIsKilledWhileItsDiskIsTakenAwayEnds() throws Exception {
    HostState before = HostState.now();
    Path image = dir.resolve("disk.img");
    Command.shell("truncate -s 16M " + image);
    try (NbdServer server = NbdServer.serve(Kind.NBDKIT, image)) {
      Disk disk = Disk.attach(server.uri(), "--name", "killed");
      String pid = Command.json("pid", "status", "killed", "--json");
      Command.shell("udevadm settle");
      server.suspend();
      Process reader =
          new ProcessBuilder("dd", "if=" + disk.path(), "of=/dev/null", "count=1", "iflag=direct")
              .redirectErrorStream(true)
              .redirectOutput(dir.resolve("dd.log").toFile())
              .start();
      Command.shell(
          "until [ $(awk '{print $1 + $2}' /sys/block/%s/inflight) -gt 0 ]; do sleep 0.1; done"
              .formatted(disk.name()));
      CompletableFuture<Command> detach =
          CompletableFuture.supplyAsync(() -> Command.ublkBridge("detach", "--force", "killed"));
      // The disk is unlinked before the kernel waits for the request; if it is killed earlier than
      // that, the test shows less, but is right.
      Command.shell(
          "for i in $(seq 100); do [ -e /sys/block/%s ] || exit 0; sleep 0.05; done"
              .formatted(disk.name()));
      Command.shellCommand("kill -9 " + pid);
      detach.get(2, TimeUnit.MINUTES).succeeded();
      assertTrue(Files.notExists(disk.path()));
      assertTrue(reader.waitFor(1, TimeUnit.MINUTES), "its request has failed");
      Command.shell("rm -f /var/log/ublk-bridge/*.log");
    }
    before.awaitAgain();
  }

  /// As the kernel's selftest part_01.
  @Test
  void partitionsAreLeftAloneWhereThatIsAskedFor() throws Exception {
    Path image = dir.resolve("disk.img");
    Command.shell("truncate -s 16M " + image);
    PartitionTable.write(image);
    String uri = "file:" + image;
    if (!ServedDisk.kernelHas(UblkAbi.UBLK_F_NO_AUTO_PART_SCAN)) {
      UblkException refused =
          assertThrows(UblkException.class, () -> Disk.serve(uri, ServedDisk.withoutPartitions()));
      assertEquals(Errno.EOPNOTSUPP, refused.errno());
      return;
    }
    try (ServedDisk disk = Disk.serve(uri, ServedDisk.withoutPartitions())) {
      Path partition = Path.of(disk.path() + "p1");
      Command.shell("udevadm settle; sleep 1");
      assertTrue(Files.notExists(partition));
      Command.shell("blockdev --rereadpt %s; udevadm settle".formatted(disk.path()));
      assertTrue(Files.exists(partition));
    }
  }

  /// As the kernel's selftest part_02: before 7.0 the kernel looks for partitions inside of
  /// START_DEV and keeps its lock for as long as that hangs.
  @Test
  @Tag("long")
  void aServerThatDiesWhilePartitionsAreLookedForHoldsNobodyUp() throws Exception {
    if (!ServedDisk.kernelHas(UblkAbi.UBLK_F_SAFE_STOP_DEV)) {
      return;
    }
    try (NbdServer server = NbdServer.nbdkit("--filter=delay", "memory", "16M", "rdelay=200")) {
      CompletableFuture<Command> attach =
          CompletableFuture.supplyAsync(() ->
              Command.ublkBridge(
                  "attach", server.uri(), "--name", "hangs", "--id", "7", "--timeout", "4m"));
      Command.shell("for i in $(seq 1200); do [ -b /dev/ublkb7 ] && exit; sleep 0.1; done; exit 1");
      String pid = Command.json("pid", "status", "hangs", "--json");
      Command.shell("kill -9 $(ps -o ppid= -p %1$s) && kill -9 %1$s".formatted(pid));
      Instant killed = Instant.now();
      while (!Command.json("state", "status", "hangs", "--json").equals("lost")) {
        assertTrue(Duration.between(killed, Instant.now()).toSeconds() < 30, "it is lost at once");
      }
      Command.ublkBridge("detach", "--force", "hangs").succeeded();
      Command ended = attach.get(1, TimeUnit.MINUTES);
      assertEquals(1, ended.status(), ended.output() + ended.errors());
      Duration took = Duration.between(killed, Instant.now());
      assertTrue(took.toSeconds() < 60, "it is over soon: " + took);
      assertTrue(Files.notExists(Path.of("/dev/ublkb7")));
    }
  }
}
