package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.s3.FaultyProxy;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A whole Debian on a 2 GiB image in an S3 server: read, run, written to and looked through.
/// `it/soak/run s3-image` prepares the server's objects and runs this.
@Tag("long")
final class DebianImageIT {
  private static final String KEY = "debian.img";
  private static final Path CHECKSUMS = ImageStore.FILES.resolve("image/debian.sha256");
  private static ImageStore store;
  private static String stored = "";

  @TempDir Path mountPoint;
  private Path dir;

  @BeforeAll
  static void start() throws IOException {
    store = ImageStore.prepared();
    stored = state();
  }

  /// Which file the object is, its size, and when it or what is known of it was changed last.
  private static String state() {
    return Command.shell("stat -c '%i %s %z' " + store.server().file(ImageStore.BUCKET, KEY));
  }

  @AfterAll
  static void stop() {
    store.close();
  }

  @BeforeEach
  void makeDirectory() throws IOException {
    dir = Files.createTempDirectory(Path.of("/var/tmp"), "debian");
  }

  @AfterEach
  void removeDirectory() {
    Command.shell("rm -rf " + dir);
  }

  @Test
  void filesAreThoseOfTheSourceAndProgramsRun() throws IOException {
    try (Disk disk = store.attach(store.url(), KEY)) {
      assertEquals("1", Command.shell("blockdev --getro " + disk.path()));
      disk.mount(mountPoint, "-o", "ro");
      try {
        checkFiles(CHECKSUMS);
        String packages = chroot("bash -c 'dpkg-query -W | wc -l'");
        assertTrue(Integer.parseInt(packages) > 50, packages);
        assertTrue(chroot("apt-get --version").startsWith("apt "), "its apt runs");
        assertEquals("42", chroot("perl -e 'print 6 * 7'"));
      } finally {
        Command.shell("umount " + mountPoint);
      }
    }
  }

  @Test
  void whatIsInstalledStaysInTheOverlay() throws IOException {
    String overlay = dir.resolve("disk.overlay").toString();
    Path installed = dir.resolve("installed.sha256");
    try (Disk disk = store.attach(store.url(), KEY, "--overlay", overlay)) {
      disk.mount(mountPoint);
      Command.shell("mount -t proc proc " + mountPoint + "/proc");
      try {
        chroot("bash -c 'dpkg --install /var/cache/apt/archives/*.deb'");
      } finally {
        Command.shell("umount %1$s/proc; sync -f %1$s".formatted(mountPoint));
      }
      noteFiles(installed);
      Command.shell("umount " + mountPoint);
    }
    int more = lines(installed) - lines(CHECKSUMS);
    System.out.printf("s3-image: %d files installed into the overlay%n", more);
    assertTrue(more > 2000, "thousands of files were unpacked: " + more);
    try (Disk disk = store.attach(store.url(), KEY, "--overlay", overlay)) {
      Command.shell("e2fsck -fn " + disk.path());
      disk.mount(mountPoint);
      try {
        checkFiles(installed);
        assertTrue(chroot("vim --version").startsWith("VIM - Vi IMproved"), "it runs");
      } finally {
        Command.shell("umount " + mountPoint);
      }
      Command.shell("e2fsck -fn " + disk.path());
    }
    assertEquals(stored, state(), "the object is untouched");
  }

  /// In an emulator, seconds say little and their relation much: what is slow here is the store.
  @Test
  void aWarmDiskTierHidesADistantStore() throws IOException {
    try (FaultyProxy distant = new FaultyProxy(0, store.server().port())) {
      distant.latency(Duration.ofMillis(30));
      double without = secondsToLookThrough(distant, "--cache", "off", "--readahead", "off");
      String[] tier = {"--cache-dir", dir.resolve("cache").toString(), "--cache-disk", "512M"};
      double cold = secondsToLookThrough(distant, tier);
      double warm = secondsToLookThrough(distant, tier);
      System.out.printf(
          "s3-image: mount and ls -lR, 30 ms to the store: %.1f s without a cache,"
              + " %.1f s cold, %.1f s on a warm disk tier%n",
          without, cold, warm);
      assertTrue(warm <= without / 5, () -> warm + " s warm, " + without + " s without");
    }
  }

  private double secondsToLookThrough(FaultyProxy distant, String... options) {
    try (Disk disk = store.attach(distant.url(), KEY, options)) {
      int before = distant.requests().size();
      Command.shell("echo 3 > /proc/sys/vm/drop_caches");
      // By the shell's clock, which no start of a process blurs.
      try {
        String seconds =
            Command.shell(
                "start=$EPOCHREALTIME; mount -o ro %s %2$s; ls -lR %2$s > /dev/null; end=$EPOCHREALTIME;"
                        .formatted(disk.path(), mountPoint)
                    + "echo $((${end/./} - ${start/./}))");
        System.out.printf(
            "s3-image: %s: %d requests%n",
            String.join(" ", options), distant.requests().size() - before);
        return Long.parseLong(seconds) / 1e6;
      } finally {
        Command.shell("umount " + mountPoint);
      }
    }
  }

  private String chroot(String command) {
    return Command.shell(
        "DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "
            + mountPoint
            + " "
            + command);
  }

  private void noteFiles(Path into) {
    Command.shell(
        "cd %s && find . -type f -print0 | sort -z | xargs -0 sha256sum > %s"
            .formatted(mountPoint, into));
  }

  /// Every file is the one that was noted, and there is no other.
  private void checkFiles(Path noted) throws IOException {
    Command.shell(
        "echo 3 > /proc/sys/vm/drop_caches; cd %s && sha256sum --quiet -c %s"
            .formatted(mountPoint, noted));
    String files = Command.shell("find " + mountPoint + " -type f | wc -l");
    assertEquals(lines(noted), Integer.parseInt(files));
    System.out.printf("s3-image: %s files compared%n", files);
  }

  private static int lines(Path file) throws IOException {
    return Files.readAllLines(file).size();
  }
}
