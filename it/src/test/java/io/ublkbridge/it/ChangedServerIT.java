package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.target.Outage;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Servers that come back, but not as they were: late, with another disk, at another address.
@Tag("linux-7")
final class ChangedServerIT {
  private static final Duration DEADLINE = Duration.ofMinutes(2);
  private static final String HOST = "moving.ublk-bridge.test";

  @TempDir Path dir;
  private Path image = Path.of("");

  @BeforeEach
  void makeFiles() {
    image = dir.resolve("disk.img");
    Command.shell(
        "cd %s && truncate -s 64M disk.img && dmesg --clear".formatted(dir)
            + " && for f in old new; do dd if=/dev/urandom of=$f bs=64k count=1 status=none; done");
  }

  /// Writes one of the two files to its place on the disk.
  private String write(String file, int place, Disk disk) {
    return "dd if=%s/%s of=%s bs=64k seek=%d oflag=direct status=none"
        .formatted(dir, file, disk.path(), place);
  }

  private static Process start(String command) throws IOException {
    return new ProcessBuilder("bash", "-c", command).start();
  }

  private void assertHolds(String file, int place, Disk disk) {
    Command.shell(
        "dd if=%s bs=64k count=1 skip=%d iflag=direct status=none | cmp - %s/%s"
            .formatted(disk.path(), place, dir, file));
  }

  private static Outage awaitOutage(ServedDisk disk, String words) {
    Instant end = Instant.now().plus(DEADLINE);
    while (true) {
      Optional<Outage> outage = disk.outage();
      if (outage.isPresent()
          && outage.get().why().contains(words)
          && outage.get().requestsWaiting() > 0) {
        return outage.get();
      }
      assertTrue(Instant.now().isBefore(end), () -> "no '" + words + "' in " + outage);
      LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(20));
    }
  }

  /// It still takes connections, as its kernel does that, but greets nobody; then it wakes up with
  /// the old request in its hands.
  @Test
  void aServerThatHangsIsDialledUntilItWakesUp() throws Exception {
    try (NbdServer server = NbdServer.nbdkitOnTcp("file", image.toString());
        ServedDisk disk = ServedDisk.serve(server.uri(), Map.of("io-timeout", "2s"))) {
      server.suspend();
      Process writer = start(write("old", 0, disk));
      awaitOutage(disk, "no greeting within");
      server.resume();
      assertEquals(0, writer.waitFor(), "nobody noticed");
      Command.shell(write("new", 0, disk));
      assertHolds("new", 0, disk);
      assertTrue(disk.outage().isEmpty());
      assertEquals("", Command.shell("dmesg | grep -i 'I/O error' || true"));
    }
  }

  @Test
  void aSmallerDiskIsNotWrittenTo() throws Exception {
    try (NbdServer server = NbdServer.nbdkit("file", image.toString());
        ServedDisk disk = ServedDisk.serve(server.uri())) {
      // Not flushed, so it would be written again to the disk that it was written to.
      Command.shell(write("old", 0, disk));
      server.kill();
      Command.shell("truncate -s 0 %1$s && truncate -s 32M %1$s".formatted(image));
      server.restart();
      Process writer = start(write("new", 1, disk));
      Outage outage = awaitOutage(disk, "another disk");
      assertTrue(
          outage.why().contains("its size was 67108864 bytes and is 33554432"), outage.why());
      assertTrue(outage.lasting().isPositive());
      assertEquals(1, outage.unflushedWrites());
      Command.shell("cmp -n 32M %s /dev/zero".formatted(image));
      assertTrue(writer.isAlive());
      server.kill();
      Command.shell("truncate -s 64M " + image);
      server.restart();
      assertEquals(0, writer.waitFor(), "nobody noticed");
      assertHolds("old", 0, disk);
      assertHolds("new", 1, disk);
    }
  }

  /// With a server process, because how long an address is remembered is set where that starts.
  @Test
  void aServerIsFollowedWhereItsNameMoves() {
    int port = NbdServer.freePort();
    try {
      nameLeadsTo("127.0.0.2");
      NbdServer before = NbdServer.nbdkitOnTcp("127.0.0.2", port, "file", image.toString());
      Disk disk = Disk.attach("nbd://" + HOST + ":" + port + "/", "--name", "moving");
      Command.shell(write("old", 0, disk));
      before.kill();
      nameLeadsTo("127.0.0.3");
      try (var _ = NbdServer.nbdkitOnTcp("127.0.0.3", port, "file", image.toString());
          disk) {
        assertHolds("old", 0, disk);
        Command.shell(write("new", 1, disk) + " conv=fsync");
        Command.shell(
            "dd if=%s bs=64k count=1 skip=1 status=none | cmp - %s/new".formatted(image, dir));
      }
    } finally {
      nameLeadsTo("");
    }
  }

  /// @param address none to forget the name
  private void nameLeadsTo(String address) {
    Command.shell(
        "grep -v ' %2$s$' /etc/hosts >%3$s/hosts || true; [ -z '%1$s' ] || echo '%1$s %2$s' >>%3$s/hosts; "
                .formatted(address, HOST, dir)
            + "cat %s/hosts >/etc/hosts".formatted(dir));
  }
}
