package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Path;

/// A real tree of files, copied to a disk to see whether it stays what it is.
final class FileTree {
  private static final String CHECKSUMS = "find . -type f -print0 | sort -z | xargs -0 md5sum";

  private FileTree() {}

  /// Makes a file system on a disk, copies files to it, and finds them all again after a detach and
  /// an attach.
  static void assertSurvives(String uri, String mkfs, Path mountPoint, int files) {
    String before;
    try (Disk disk = Disk.serve(uri)) {
      Command.shell(mkfs + " " + disk.path());
      disk.mount(mountPoint);
      copy(mountPoint, files);
      before = checksums(mountPoint);
      assertEquals(files, before.lines().count(), "Debian has that many");
      Command.shell("umount " + mountPoint);
    }
    try (Disk disk = Disk.serve(uri)) {
      disk.mount(mountPoint);
      assertEquals(before, checksums(mountPoint));
      Command.shell("umount " + mountPoint);
    }
  }

  /// Copies files that every Debian has, most of them small.
  private static void copy(Path to, int files) {
    Command.shell(
        "cd %s; (cd / && find etc usr/share usr/sbin usr/lib -xdev -type f -size -16k".formatted(to)
            + " | sed -n 1,%dp) | tar -C / -cf - -T - | tar -xf - && sync".formatted(files));
  }

  private static String checksums(Path mountPoint) {
    return Command.shell("cd " + mountPoint + " && " + CHECKSUMS);
  }
}
