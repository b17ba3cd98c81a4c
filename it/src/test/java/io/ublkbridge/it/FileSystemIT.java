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
  /// Copies some thousand files that every Debian has, most of them small, to the current
  /// directory.
  private static final String COPY_TREE =
      "(cd / && find etc usr/share usr/sbin usr/lib -xdev -type f -size -16k | sed -n 1,2100p)"
          + " | tar -C / -cf - -T - | tar -xf -";

  private static final String CHECKSUMS = "find . -type f -print0 | sort -z | xargs -0 md5sum";

  @TempDir Path dir;
  @TempDir Path mountPoint;

  @ParameterizedTest
  @CsvSource({"mkfs.ext4 -q, NBDKIT", "mkfs.xfs -q, QEMU_NBD", "mkfs.ext4 -q, NBD_SERVER"})
  void treeSurvivesOnNbd(String mkfs, NbdServer.Kind kind) {
    Path image = image();
    try (NbdServer server = NbdServer.serve(kind, image)) {
      assertTreeSurvives(server.uri(), mkfs);
    }
  }

  @Test
  void treeSurvivesInAFile() {
    assertTreeSurvives("file:" + image(), "mkfs.xfs -q");
  }

  private Path image() {
    Path image = dir.resolve("disk.img");
    // xfs wants 300 MiB at least.
    Command.shell("truncate -s 512M " + image);
    return image;
  }

  private void assertTreeSurvives(String uri, String mkfs) {
    String before;
    try (Disk disk = Disk.serve(uri)) {
      Command.shell(mkfs + " " + disk.path());
      disk.mount(mountPoint);
      Command.shell("cd " + mountPoint + " && " + COPY_TREE + " && sync");
      before = checksums();
      assertTrue(before.lines().count() > 2000, "a real tree has thousands of files");
      Command.shell("umount " + mountPoint);
    }
    try (Disk disk = Disk.serve(uri)) {
      disk.mount(mountPoint);
      assertEquals(before, checksums());
      Command.shell("umount " + mountPoint);
    }
  }

  private String checksums() {
    return Command.shell("cd " + mountPoint + " && " + CHECKSUMS);
  }
}
