package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A disk whose source is only read, made writable by a local file.
@Tag("long")
final class OverlayIT {
  /// Copies some thousand small files that every Debian has to the current directory.
  private static final String COPY_TREE =
      "(cd / && find etc usr/share usr/sbin usr/lib -xdev -type f -size -16k | sed -n 1,1100p)"
          + " | tar -C / -cf - -T - | tar -xf -";

  private static final String CHECKSUMS = "find . -type f -print0 | sort -z | xargs -0 md5sum";

  @TempDir Path dir;
  @TempDir Path mountPoint;

  @Test
  void aTreeIsWrittenOverAReadOnlyImage() {
    Path image = image("base.img");
    String untouched = Command.shell("md5sum " + image);
    Map<String, String> options = Map.of("overlay", overlay().toString());
    String before;
    try (ServedDisk disk = ServedDisk.serve("file:" + image, options)) {
      disk.mount(mountPoint, "-o", "discard");
      Command.shell("cd " + mountPoint + " && rm base-1 && echo more >> base-2 && " + COPY_TREE);
      Command.shell("cd " + mountPoint + " && rm -r usr/sbin && sync");
      before = checksums();
      assertTrue(before.lines().count() > 1000, "a real tree has a thousand of files");
      Command.shell("umount " + mountPoint);
    }
    try (ServedDisk disk = ServedDisk.serve("file:" + image, options)) {
      Command.shell("e2fsck -fn " + disk.path());
      disk.mount(mountPoint);
      assertEquals(before, checksums());
      Command.shell("umount " + mountPoint);
      // All of what is free is zeroes from now on, and takes no room.
      disk.mount(mountPoint);
      Command.shell("rm -r " + mountPoint + "/usr && sync && fstrim " + mountPoint);
      Command.shell("umount " + mountPoint + " && e2fsck -fn " + disk.path());
      assertTrue(disk.details().get("overlay") instanceof Map<?, ?>, "it is told");
    }
    assertEquals(untouched, Command.shell("md5sum " + image));
  }

  @Test
  void writesOfAnySizeAndDiscardsAreVerified() {
    Path image = image("base.img");
    Map<String, String> options = Map.of("overlay", overlay().toString());
    try (ServedDisk disk = ServedDisk.serve("file:" + image, options)) {
      assertEquals("write back", disk.queue("write_cache"));
      assertEquals("0", disk.queue("fua"));
      assertEquals(1, disk.queueCount());
      Command.run(
              "fio",
              "--name=overlay",
              "--filename=" + disk.path(),
              "--size=24M",
              "--rw=randwrite",
              "--bsrange=512-64k",
              "--bs_unaligned=0",
              "--blockalign=512",
              "--ioengine=libaio",
              "--direct=1",
              "--iodepth=16",
              "--fsync=32",
              "--norandommap",
              "--serialize_overlap=1",
              "--verify=crc32c",
              "--io_size=16M")
          .succeeded();
    }
  }

  @Test
  void theCommandTellsAndRefuses() {
    Path image = image("base.img");
    Path overlay = overlay();
    String source = "file:" + image;
    String size;
    try (Disk disk = Disk.attach(source, "--overlay", overlay.toString(), "--name", "cow")) {
      Command.shell("dd if=/dev/urandom of=" + disk.path() + " bs=64k count=1 seek=9 conv=fsync");
      String status = Command.ublkBridge("status", "cow").succeeded().output();
      assertTrue(status.contains(overlay.toString()) && status.contains("data bytes"), status);
      String list = Command.ublkBridge("list").succeeded().output();
      assertTrue(list.lines().anyMatch(line -> line.matches("cow .* 0 +live .*")), list);
      assertEquals("true", Command.json("inUse", "overlay", "info", overlay.toString(), "--json"));
      Command busy =
          Command.ublkBridge("attach", source, "--overlay", overlay.toString(), "--name", "other")
              .exited(4);
      assertTrue(busy.errors().contains("in use"), busy.errors());
      Command.ublkBridge("attach", source, "--name", "cow").exited(5);
      size = Command.json("size", "overlay", "info", overlay.toString(), "--json");
      assertEquals(disk.sizeBytes(), Long.parseLong(size));
    }
    assertEquals("true", Command.json("clean", "overlay", "info", overlay.toString(), "--json"));
    assertEquals(
        "65536", Command.json("dataBytes", "overlay", "info", overlay.toString(), "--json"));
    Command other =
        Command.ublkBridge("attach", "memory:" + size, "--overlay", overlay.toString()).exited(10);
    assertTrue(other.errors().contains("was made for " + source), other.errors());
    Path letter = dir.resolve("letter");
    Command.shell("seq 9999 > " + letter);
    Command none = Command.ublkBridge("attach", source, "--overlay", letter.toString()).exited(10);
    assertTrue(none.errors().contains("not an overlay"), none.errors());
    Command.ublkBridge("overlay", "info", image.toString()).exited(10);
    Command.ublkBridge("overlay").exited(2);
    try (Disk disk =
        Disk.attach(source, "--overlay", overlay.toString(), "--read-only", "--name", "view")) {
      assertEquals("1", Command.shell("blockdev --getro " + disk.path()));
      Command.shell("! cmp -s -n 64K -i 576K " + disk.path() + " " + image);
    }
  }

  @Test
  void anOverlayOnADiskOfOursIsRefused() {
    Path image = image("base.img");
    try (Disk disk = Disk.serve("memory:64M")) {
      Command.shell("mkfs.ext4 -q " + disk.path());
      disk.mount(mountPoint);
      Command refused =
          Command.ublkBridge(
                  "attach", "file:" + image, "--overlay", mountPoint.resolve("o").toString())
              .exited(2);
      assertTrue(refused.errors().contains("a disk that ublk-bridge serves"), refused.errors());
      assertTrue(Files.notExists(mountPoint.resolve("o")));
      Command.shell("umount " + mountPoint);
    }
  }

  private Path overlay() {
    return dir.resolve("disk.overlay");
  }

  private Path image(String name) {
    Path image = dir.resolve(name);
    Command.shell(
        ("mkdir %1$s.tree && for i in 1 2 3; do head -c 100000 /dev/urandom > %1$s.tree/base-$i; done "
                + "&& truncate -s 256M %1$s && mkfs.ext4 -q -d %1$s.tree %1$s")
            .formatted(image));
    return image;
  }

  private String checksums() {
    return Command.shell("cd " + mountPoint + " && " + CHECKSUMS);
  }
}
