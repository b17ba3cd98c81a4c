package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A server that is killed while files are written to an overlay: after each attach every file that
/// was synced is there, and the file system is sound.
///
/// `-Dsoak.rounds=N` kills more often, `-Dublk.seed=N` at other moments.
@Tag("long")
final class OverlayKillIT {
  private static final int ROUNDS = Integer.getInteger("soak.rounds", 1);

  /// Writes files, and notes each one once it and its name are synced, until the disk is gone.
  private static final String WRITER =
      """
      mount=$1 notes=$2 round=$3
      mkdir -p "$mount/$round" && sync "$mount" "$mount/$round" || exit 0
      for ((i = 0; ; i++)); do
        file=$round/$i
        head -c $((RANDOM * 3)) /dev/urandom > "$mount/$file" || exit 0
        sum=$(md5sum < "$mount/$file") || exit 0
        sync "$mount/$file" "$mount/$round" || exit 0
        echo "${sum%% *}  $file" >> "$notes"
        # What is not synced may be lost, and must not harm the rest.
        head -c 50000 /dev/urandom > "$mount/unsynced-$((i % 4))" || exit 0
        ((i % 5 != 4)) || rm -f "$mount/unsynced-0" || exit 0
      done
      """;

  @TempDir Path dir;
  @TempDir Path mountPoint;

  @Test
  void whatWasSyncedSurvivesTheKill() throws Exception {
    SplittableRandom random = new SplittableRandom(Long.getLong("ublk.seed", 20261126));
    Path image = dir.resolve("base.img");
    Path notes = Files.createFile(dir.resolve("notes"));
    Command.shell("truncate -s 512M %1$s && mkfs.ext4 -q %1$s".formatted(image));
    String untouched = Command.shell("md5sum " + image);
    for (int round = 0; round < ROUNDS; round++) {
      Disk disk = attach(image);
      disk.mount(mountPoint, "-o", "discard");
      checkNoted(notes);
      Process writer = write(notes, round);
      LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(random.nextInt(1000, 6000)));
      Command.shell("kill -9 " + Command.json("pid", "status", "kill", "--json"));
      assertTrue(writer.waitFor(2, TimeUnit.MINUTES), "the writer ends when the disk is gone");
      Command.shell("umount " + mountPoint + " || umount -l " + mountPoint);
      Command.ublkBridge("detach", "kill").succeeded();
      Command.shell("rm -f /var/log/ublk-bridge/*.log");
    }
    try (Disk disk = attach(image)) {
      disk.mount(mountPoint);
      checkNoted(notes);
      Command.shell("umount " + mountPoint + " && e2fsck -fn " + disk.path());
    }
    assertEquals(untouched, Command.shell("md5sum " + image));
    long files = Files.readAllLines(notes).size();
    System.out.printf("overlay-kill: %d kills, %d synced files, all there%n", ROUNDS, files);
    assertTrue(files >= ROUNDS, "hardly anything was written: " + files);
  }

  private Disk attach(Path image) {
    String overlay = dir.resolve("disk.overlay").toString();
    return Disk.attach("file:" + image, "--overlay", overlay, "--name", "kill");
  }

  private Process write(Path notes, int round) throws IOException {
    return new ProcessBuilder(
            "bash",
            "-c",
            WRITER,
            "writer",
            mountPoint.toString(),
            notes.toString(),
            Integer.toString(round))
        .redirectErrorStream(true)
        .redirectOutput(dir.resolve("writer.log").toFile())
        .start();
  }

  private void checkNoted(Path notes) throws IOException {
    if (Files.size(notes) > 0) {
      Command.shell("cd " + mountPoint + " && md5sum --quiet -c " + notes);
    }
  }
}
