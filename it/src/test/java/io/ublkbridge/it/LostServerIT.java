package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A remote that fails gives errors, never wrong data and never a hang.
final class LostServerIT {
  /// Ten seconds on a real processor; two starts of Java in an emulator that shares it.
  private static final Duration PATIENCE = Duration.ofSeconds(60);

  @TempDir Path dir;

  private static Command read(Disk disk) {
    return Command.run(
        "dd", "if=" + disk.path(), "of=/dev/null", "bs=4k", "count=1", "iflag=direct");
  }

  @Test
  void detachDoesNotWaitForAServerThatIsGone() {
    NbdServer server = NbdServer.nbdkit("memory", "64M");
    Disk disk = Disk.attach(server.uri(), "--name", "lost");
    read(disk).succeeded();
    server.kill();
    Instant begin = Instant.now();
    Command.ublkBridge("detach", "lost").succeeded();
    assertTrue(Duration.between(begin, Instant.now()).compareTo(PATIENCE) < 0);
    assertTrue(Files.notExists(disk.path()));
  }

  @Test
  void writesThatWaitAreNotThrownAwayByADetach() throws Exception {
    NbdServer server = NbdServer.nbdkit("memory", "64M");
    Disk disk = Disk.attach(server.uri(), "--name", "lost");
    server.kill();
    Process writer =
        new ProcessBuilder(
                "dd", "if=/dev/zero", "of=" + disk.path(), "bs=4k", "count=1", "oflag=direct")
            .start();
    Command.shell("until ublk-bridge status lost --json | grep -q requestsWaiting; do :; done");
    Command refused = Command.ublkBridge("detach", "lost");
    assertTrue(refused.status() == 7 || refused.status() == 4, refused.errors());
    server.restart();
    assertEquals(0, writer.waitFor(), "the server came back and nobody noticed");
    server.kill();
    Command.ublkBridge("detach", "--force", "lost").succeeded();
    assertTrue(Files.notExists(disk.path()));
  }

  @Test
  void patienceEndsWithAnError() {
    NbdServer server = NbdServer.nbdkit("memory", "64M");
    try (ServedDisk disk = ServedDisk.serve(server.uri(), Map.of("loss-timeout", "2s"))) {
      read(disk).succeeded();
      server.kill();
      Command failed = read(disk);
      assertNotEquals(0, failed.status());
      assertTrue(failed.errors().contains("Link has been severed"), failed.errors());
      server.restart();
      Command.shell(
          "until dd if=" + disk.path() + " of=/dev/null bs=4k count=1 iflag=direct; do :; done");
    } finally {
      server.close();
    }
  }

  @Test
  void errorsOfTheServerReachTheProgram() {
    Path image = dir.resolve("disk.img");
    Command.shell("truncate -s 64M " + image);
    Path inject = dir.resolve("inject");
    try (NbdServer server =
            NbdServer.nbdkit(
                "--filter=error",
                "file",
                image.toString(),
                "error-pwrite=ENOSPC",
                "error-pread=EIO",
                "error-rate=100%",
                "error-file=" + inject);
        Disk disk = Disk.serve(server.uri())) {
      Command.shell("touch " + inject);
      Command full =
          Command.run(
              "dd", "if=/dev/zero", "of=" + disk.path(), "bs=4k", "count=1", "oflag=direct");
      assertTrue(full.errors().contains("No space left"), full.errors());
      assertTrue(read(disk).errors().contains("Input/output error"));
      Command.shell("rm " + inject);
      read(disk).succeeded();
    }
  }
}
