package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A remote that fails gives errors, never wrong data and never a hang.
final class LostServerIT {
  @TempDir Path dir;

  private static Command read(Disk disk) {
    return Command.run(
        "dd", "if=" + disk.path(), "of=/dev/null", "bs=4k", "count=1", "iflag=direct");
  }

  @Test
  void lostConnectionFailsIoAtOnceAndSaysSo() {
    NbdServer server = NbdServer.nbdkit("memory", "64M");
    Disk disk = Disk.attach(server.uri(), "--name", "lost");
    read(disk).succeeded();
    server.kill();
    Command failed = read(disk);
    assertNotEquals(0, failed.status());
    assertTrue(failed.errors().contains("Link has been severed"), failed.errors());
    String log = Command.shell("cat " + Command.json("log", "status", "lost", "--json"));
    assertTrue(log.contains("lost"), log);
    Command refused = Command.ublkBridge("detach", "lost").exited(1);
    assertTrue(refused.errors().contains("--force"), "a flush that fails is told, not swallowed");
    Command.ublkBridge("detach", "--force", "lost").succeeded();
    assertTrue(Files.notExists(disk.path()));
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
