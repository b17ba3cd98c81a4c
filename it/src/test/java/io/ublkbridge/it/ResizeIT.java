package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.it.NbdServer.Kind;
import io.ublkbridge.kernel.UblkAbi;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/// Disks in use that get the size that their targets have by now.
@ExtendWith(NothingLeftBehind.class)
final class ResizeIT {
  private static final int MIB = 1 << 20;

  @TempDir Path dir;

  private static boolean kernelResizes() {
    return ServedDisk.kernelHas(UblkAbi.UBLK_F_UPDATE_SIZE);
  }

  private static void assertSize(Disk disk, int mebibytes) {
    assertEquals(
        Integer.toString(mebibytes * MIB), Command.shell("blockdev --getsize64 " + disk.path()));
    assertEquals(
        Integer.toString(mebibytes * MIB), Command.json("size", "status", "sized", "--json"));
  }

  @Test
  void aMountedFileSystemGrowsWithItsFile() throws Exception {
    Path image = dir.resolve("disk.img");
    Command.shell("truncate -s 32M " + image);
    Path mountPoint = Files.createTempDirectory("mnt");
    try (Disk disk = Disk.attach("file:" + image, "--name", "sized")) {
      if (!kernelResizes()) {
        Command.shell("truncate -s 64M " + image);
        Command refused = Command.ublkBridge("resize", "sized").exited(6);
        assertTrue(refused.errors().contains("Linux 6.16"), refused.errors());
        assertSize(disk, 32);
        return;
      }
      Command.shell("mkfs.ext4 -q " + disk.path());
      disk.mount(mountPoint);
      Command.shell("dd if=/dev/urandom of=%s/old bs=1M count=8".formatted(mountPoint));
      String sum = Command.shell("sha256sum < " + mountPoint + "/old");
      assertTrue(
          Command.ublkBridge("resize", "sized").succeeded().output().contains("32M as before"));

      Process monitor =
          new ProcessBuilder("udevadm", "monitor", "--kernel", "--property", "--subsystem=block")
              .redirectOutput(dir.resolve("uevents").toFile())
              .start();
      Command.shell(
          "until grep -q KERNEL %s; do sleep 0.1; done".formatted(dir.resolve("uevents")));
      Command.shell("truncate -s 64M " + image);
      Command grown = Command.ublkBridge("resize", "sized").succeeded();
      assertEquals(disk.path() + " grew from 32M to 64M\n", grown.output());
      assertSize(disk, 64);
      Command.shell(
          "for i in $(seq 100); do grep -q RESIZE=1 %s && exit; sleep 0.1; done; exit 1"
              .formatted(dir.resolve("uevents")));
      monitor.destroy();
      assertTrue(monitor.waitFor(1, TimeUnit.MINUTES));

      Command.shell("resize2fs %s 2>&1".formatted(disk.path()));
      Command.shell("dd if=/dev/urandom of=%s/new bs=1M count=30 conv=fsync".formatted(mountPoint));
      assertEquals(sum, Command.shell("sha256sum < " + mountPoint + "/old"));
      Command.shell("umount " + mountPoint + "; e2fsck -fn " + disk.path());

      Command.shell("truncate -s 48M " + image);
      Command refused = Command.ublkBridge("resize", "sized").exited(1);
      assertTrue(refused.errors().contains("has shrunk"), refused.errors());
      assertSize(disk, 64);
      Command.ublkBridge("resize", "sized", "--force").succeeded();
      assertSize(disk, 48);
    }
  }

  @Test
  void anExportThatComesBackLargerWaitsForResize() throws Exception {
    if (!kernelResizes()) {
      return;
    }
    Path image = dir.resolve("disk.img");
    Command.shell("truncate -s 32M " + image);
    try (NbdServer server = NbdServer.serve(Kind.NBDKIT, image);
        Disk disk = Disk.attach(server.uri(), "--name", "sized")) {
      Command.shell(
          // Udev reads the partition table of a disk that was written to, and whoever opens the
          // disk
          // waits for that: without a server, until a test's deadline.
          "printf precious | dd of=%s bs=4k oflag=direct conv=sync; udevadm settle"
              .formatted(disk.path()));
      server.kill();
      Command.shell("truncate -s 64M " + image);
      server.restart();
      Process reader =
          new ProcessBuilder(
                  "dd", "if=" + disk.path(), "of=" + dir.resolve("read"), "count=1", "iflag=direct")
              .redirectErrorStream(true)
              .redirectOutput(dir.resolve("dd.log").toFile())
              .start();
      // Not by opening the disk: see above.
      assertEquals(
          Integer.toString(32 * MIB / 512),
          Command.shell("cat /sys/block/" + disk.name() + "/size"));
      assertTrue(!reader.waitFor(3, TimeUnit.SECONDS), "another size may be another disk");

      Command.ublkBridge("resize", "sized").succeeded();

      assertTrue(reader.waitFor(1, TimeUnit.MINUTES));
      assertEquals("precious", Command.shell("head -c 8 " + dir.resolve("read")));
      assertSize(disk, 64);
      Command.shell(
          "dd if=/dev/urandom of=%1$s bs=1M seek=40 count=8 oflag=direct; cmp -n 8388608 -i 41943040 %1$s %2$s"
              .formatted(disk.path(), image));
    }
  }
}
