package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// A file system made on an attached disk holds a real tree of files over a detach and an attach.
final class FileSystemIT {
  /// Some thousands of files that every Debian has.
  private static final String TREE = "etc usr/share usr/lib/python3 usr/lib/udev usr/sbin";

  private static final String CHECKSUMS = "find . -type f -print0 | sort -z | xargs -0 sha256sum";

  @TempDir Path dir;
  @TempDir Path mountPoint;

  @ParameterizedTest
  @CsvSource({
    "mkfs.ext4 -q, NBDKIT",
    "mkfs.xfs -q, NBDKIT",
    "mkfs.ext4 -q, QEMU_NBD",
    "mkfs.ext4 -q, NBD_SERVER"
  })
  void treeSurvivesOnNbd(String mkfs, NbdServer.Kind kind) {
    Path image = image();
    try (NbdServer server = NbdServer.serve(kind, image)) {
      assertTreeSurvives(server.uri(), mkfs);
    }
  }

  @ParameterizedTest
  @CsvSource({"mkfs.ext4 -q", "mkfs.xfs -q"})
  void treeSurvivesInAFile(String mkfs) {
    assertTreeSurvives("file:" + image(), mkfs);
  }

  @Test
  void fileSystemMadeElsewhereIsFound() {
    Path image = image();
    Command.shell("mkfs.ext4 -q -F -L elsewhere " + image);
    try (Disk disk = Disk.attach("file:" + image, "--read-only")) {
      assertEquals("elsewhere", Command.shell("blkid -o value -s LABEL " + disk.path()));
    }
  }

  private Path image() {
    Path image = dir.resolve("disk.img");
    // xfs wants 300 MiB at least.
    Command.shell("truncate -s 512M " + image);
    return image;
  }

  private void assertTreeSurvives(String uri, String mkfs) {
    String before;
    try (Disk disk = Disk.attach(uri)) {
      Command.shell(mkfs + " " + disk.path());
      disk.mount(mountPoint);
      Command.shell(
          "cd / && for d in "
              + TREE
              + "; do [ -e $d ] && cp -a --parents $d "
              + mountPoint
              + "; done; sync");
      before = checksums();
      assertTrue(before.lines().count() > 2000, "a real tree has thousands of files");
      Command.shell("umount " + mountPoint);
    }
    try (Disk disk = Disk.attach(uri)) {
      disk.mount(mountPoint);
      assertEquals(before, checksums());
      Command.shell("umount " + mountPoint);
    }
  }

  private String checksums() {
    return Command.shell("cd " + mountPoint + " && " + CHECKSUMS);
  }
}
