package io.ublkbridge.it;

import io.ublkbridge.it.NbdServer.Kind;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// File systems on our disks do whatever is asked of them, in an order that a seed gives, and hold
/// what they must: after every round with the page cache dropped, after a check, after a new mount.
///
/// `-Dsoak.seconds=N` goes on for N seconds on each.
@ExtendWith(NothingLeftBehind.class)
final class FileSystemStressIT {
  private static final Duration LENGTH = Duration.ofSeconds(Integer.getInteger("soak.seconds", 7));
  private static final int ROUND_STEPS = 300;

  @TempDir Path dir;
  @TempDir Path mountPoint;

  @ParameterizedTest
  @CsvSource({"ext4, file", "xfs, nbd"})
  @Tag("linux-7")
  void holdsWhatItMust(String type, String scheme) throws Exception {
    exercise(type, scheme);
  }

  @ParameterizedTest
  @CsvSource({"ext4, nbd", "xfs, file"})
  @Tag("long")
  void holdsWhatItMustTheOtherWayRound(String type, String scheme) throws Exception {
    exercise(type, scheme);
  }

  private void exercise(String type, String scheme) throws Exception {
    Path image = dir.resolve("disk.img");
    Command.shell("truncate -s 512M " + image);
    if (scheme.equals("file")) {
      exercise(type, "file:" + image, 1);
      return;
    }
    try (NbdServer server = NbdServer.serve(Kind.NBDKIT, image)) {
      exercise(type, server.uri(), 2);
    }
  }

  private void exercise(String type, String uri, long seed) throws Exception {
    String check = type.equals("xfs") ? "xfs_repair -n " : "e2fsck -fn ";
    int rounds = 0;
    try (Disk disk = Disk.serve(uri)) {
      Command.shell("mkfs.%s -q %s".formatted(type, disk.path()));
      disk.mount(mountPoint, "-o", "discard");
      FileExerciser file = new FileExerciser(mountPoint.resolve("file"), seed);
      TreeExerciser tree = new TreeExerciser(mountPoint.resolve("tree"), seed);
      Instant end = Instant.now().plus(LENGTH);
      do {
        for (int step = 0; step < ROUND_STEPS; step++) {
          file.step();
          tree.step();
        }
        Command.shell("sync; echo 3 >/proc/sys/vm/drop_caches");
        file.verify();
        tree.verify();
        if (++rounds % 8 == 1) {
          file.suspend();
          Command.shell("umount %s; %s %s".formatted(mountPoint, check, disk.path()));
          disk.mount(mountPoint, "-o", "discard");
          file.resume();
          file.verify();
          tree.verify();
        }
      } while (Instant.now().isBefore(end));
      file.suspend();
      Command.shell("umount %s; %s %s".formatted(mountPoint, check, disk.path()));
    }
    System.out.printf(
        "%s on %s: %d operations, all as they must be%n",
        type, uri.substring(0, uri.indexOf(':')), 2 * rounds * ROUND_STEPS);
  }
}
