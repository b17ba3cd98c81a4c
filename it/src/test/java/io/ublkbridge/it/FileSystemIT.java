package io.ublkbridge.it;

import java.nio.file.Path;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// A file system made on an attached disk holds a real tree of files over a detach and an attach.
@Tag("linux-7")
final class FileSystemIT {
  private static final int FILES = 2100;

  @TempDir Path dir;
  @TempDir Path mountPoint;

  @ParameterizedTest
  @CsvSource({"mkfs.ext4 -q, NBDKIT", "mkfs.xfs -q, QEMU_NBD"})
  void treeSurvivesOnNbd(String mkfs, NbdServer.Kind kind) {
    Path image = image();
    try (NbdServer server = NbdServer.serve(kind, image)) {
      FileTree.assertSurvives(server.uri(), mkfs, mountPoint, FILES);
    }
  }

  @Test
  void treeSurvivesInAFile() {
    FileTree.assertSurvives("file:" + image(), "mkfs.xfs -q", mountPoint, FILES);
  }

  private Path image() {
    Path image = dir.resolve("disk.img");
    // xfs wants 300 MiB at least.
    Command.shell("truncate -s 512M " + image);
    return image;
  }
}
