package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Sizes and permissions of the remote are those of the disk.
final class GeometryIT {
  @TempDir Path dir;

  @Test
  void readOnlyExportGivesAReadOnlyDisk() {
    Path image = dir.resolve("disk.img");
    Command.shell("truncate -s 64M " + image);
    try (NbdServer server = NbdServer.nbdkit("-r", "file", image.toString());
        Disk disk = Disk.serve(server.uri())) {
      assertEquals("1", Command.shell("blockdev --getro " + disk.path()));
      Command write =
          Command.run(
              "dd", "if=/dev/zero", "of=" + disk.path(), "bs=4k", "count=1", "oflag=direct");
      assertNotEquals(0, write.status());
    }
  }

  @Test
  void oddSizesAreKeptToTheBlock() {
    Path image = dir.resolve("odd.img");
    Command.shell("truncate -s " + (1048576 + 3 * 512) + " " + image);
    try (Disk disk = Disk.serve("file:" + image)) {
      assertEquals(1048576 + 3 * 512, disk.sizeBytes());
      Command.shell(
          "dd if=/dev/urandom of=" + disk.path() + " bs=512 seek=2050 count=1 conv=fsync");
      Command.shell("cmp " + image + " " + disk.path());
    }
  }

  @Test
  void tailThatFillsNoBlockIsOutOfReachAndUnharmed() {
    Path image = dir.resolve("tail.img");
    Command.shell("head -c " + (1048576 + 100) + " /dev/urandom > " + image);
    String tail = Command.shell("tail -c 100 " + image + " | sha256sum");
    try (NbdServer server = NbdServer.nbdkit("file", image.toString());
        Disk disk = Disk.serve(server.uri())) {
      assertEquals(1048576, disk.sizeBytes());
      Command.shell("dd if=/dev/zero of=" + disk.path() + " bs=1M oflag=direct count=1");
    }
    assertEquals(tail, Command.shell("tail -c 100 " + image + " | sha256sum"));
  }

  @Test
  void hugeDiskIsAddressedToItsEnd() {
    try (Disk disk = Disk.serve("memory:100T")) {
      assertEquals(100L << 40, disk.sizeBytes());
      Command.shell(
          "echo end | dd of=%1$s bs=512 seek=$((100*1024*1024*1024*2 - 1)) conv=fsync,sync; "
                  .formatted(disk.path())
              + "[ \"$(tail -c 512 %1$s | head -c 3)\" = end ]".formatted(disk.path()));
    }
  }

  @Test
  void serversBlockSizesAreTheDisks() {
    try (NbdServer server =
            NbdServer.nbdkit(
                "--filter=blocksize-policy",
                "memory",
                "64M",
                "blocksize-minimum=4096",
                "blocksize-preferred=65536",
                "blocksize-maximum=256K",
                "blocksize-error-policy=error");
        Disk disk = Disk.serve(server.uri())) {
      assertEquals("4096", disk.queue("logical_block_size"));
      assertEquals("65536", disk.queue("minimum_io_size"));
      Command.shell("dd if=/dev/urandom of=" + disk.path() + " bs=1M count=8 oflag=direct");
      Command.shell("dd if=" + disk.path() + " of=/dev/null bs=1M count=8 iflag=direct");
    }
  }

  @Test
  void partitionsOfAReadOnlyDiskAreThereWhenAttachReturns() {
    Path image = dir.resolve("parts.img");
    // Two entries of a DOS partition table: 32 MiB from sector 2048, and 16 MiB behind it.
    Command.shell(
        "truncate -s 64M %1$s; ".formatted(image)
            + "printf '\\0\\0\\0\\0\\203\\0\\0\\0\\0\\10\\0\\0\\0\\0\\1\\0"
            + "\\0\\0\\0\\0\\203\\0\\0\\0\\0\\10\\1\\0\\0\\200\\0\\0' | dd of=%1$s bs=1 seek=446 conv=notrunc status=none; "
                .formatted(image)
            + "printf '\\125\\252' | dd of=%1$s bs=1 seek=510 conv=notrunc status=none"
                .formatted(image));
    try (Disk disk = Disk.attach("file:" + image, "--read-only")) {
      assertEquals("1", Command.shell("blockdev --getro " + disk.path()));
      Command.shell("[ -b " + disk.path() + "p1 ] && [ -b " + disk.path() + "p2 ]");
    }
  }
}
