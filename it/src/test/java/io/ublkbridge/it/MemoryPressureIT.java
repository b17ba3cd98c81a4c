package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.it.NbdServer.Kind;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/// A server and a program that writes to its disk through the page cache, in one control group that
/// gives them half of the page cache that they want: the kernel then frees memory by writing to the
/// very disk that the server serves, and the server must not wait for that.
///
/// `-Dsoak.seconds=N` writes for N seconds.
@ExtendWith(NothingLeftBehind.class)
final class MemoryPressureIT {
  private static final int SECONDS = Integer.getInteger("soak.seconds", 7);
  private static final int FILE_MIB = 128;
  private static final Path GROUP = Path.of("/sys/fs/cgroup/pressure");

  @TempDir Path dir;
  @TempDir Path mountPoint;

  @Test
  @Tag("linux-7")
  void aServerOfAnNbdExportGoesOn() throws Exception {
    Path image = dir.resolve("disk.img");
    Command.shell("truncate -s 256M " + image);
    try (NbdServer server = NbdServer.serve(Kind.NBDKIT, image)) {
      writeUnderPressure(server.uri());
    }
  }

  /// Its file's page cache counts as well, so it must be on a disk and not in a tmpfs.
  @Test
  @Tag("long")
  void aServerOfAFileGoesOn() throws Exception {
    Path image = Files.createTempFile(Path.of("/var/tmp"), "disk", ".img");
    Command.shell("truncate -s 256M " + image);
    writeUnderPressure("file:" + image);
    Files.delete(image);
  }

  private void writeUnderPressure(String uri) throws Exception {
    Command.shell("echo +memory >/sys/fs/cgroup/cgroup.subtree_control");
    Files.createDirectories(GROUP);
    Command.shell(inGroup("ublk-bridge", "attach", uri, "--name", "pressed", "--timeout", "4m"));
    Path path = Path.of(Command.json("device", "status", "pressed", "--json"));
    try (Disk disk = new Disk.Attached(path)) {
      Command.shell("mkfs.ext4 -q " + path);
      disk.mount(mountPoint);
      Command.shell("echo 3 >/proc/sys/vm/drop_caches");
      long held = Long.parseLong(Files.readString(GROUP.resolve("memory.current")).strip());
      Files.writeString(GROUP.resolve("memory.max"), Long.toString(held + (FILE_MIB << 20) / 2));
      Command.shell(
          inGroup(
              "fio",
              "--name=pressure",
              "--directory=" + mountPoint,
              "--rw=randwrite",
              "--bsrange=4k-256k",
              "--size=" + FILE_MIB + "M",
              "--ioengine=psync",
              "--fsync=500",
              "--verify=crc32c",
              "--verify_backlog=200",
              "--verify_fatal=1",
              "--time_based",
              "--runtime=" + SECONDS));
      Command.shell("umount %s; e2fsck -fn %s".formatted(mountPoint, path));
      String events = Files.readString(GROUP.resolve("memory.events"));
      assertTrue(count(events, "max") > 0, () -> "memory was short: " + events);
      assertEquals(0, count(events, "oom_kill"), events);
      System.out.printf(
          "%s: %d s with %d MiB of page cache for a file of %d MiB, limit met %d times%n",
          uri.replaceAll(":.*", ""), SECONDS, FILE_MIB / 2, FILE_MIB, count(events, "max"));
    }
    // The watcher ends a moment after its server.
    Command.shell(
        "for i in $(seq 100); do rmdir %s && exit; sleep 0.1; done; exit 1".formatted(GROUP));
  }

  private static String inGroup(String... command) {
    return "echo $$ >%s/cgroup.procs; exec %s".formatted(GROUP, String.join(" ", command));
  }

  private static long count(String events, String what) {
    return Stream.of(events.split("\n"))
        .map(line -> List.of(line.split(" ")))
        .filter(line -> line.getFirst().equals(what))
        .mapToLong(line -> Long.parseLong(line.getLast()))
        .findFirst()
        .orElseThrow();
  }
}
