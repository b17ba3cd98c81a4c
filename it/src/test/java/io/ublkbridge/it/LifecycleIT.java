package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/// Attaching and detaching, in peace and under load, leave nothing behind.
@ExtendWith(NothingLeftBehind.class)
final class LifecycleIT {
  /// `PF_MEMALLOC_NOIO | PF_LOCAL_THROTTLE`, which PR_SET_IO_FLUSHER sets.
  private static final long IO_FLUSHER_FLAGS = 0x180000;

  private static final int CYCLES = 20;
  @TempDir Path dir;

  /// The launcher and a JVM for each command, as everybody has it.
  @Test
  @Tag("linux-7")
  void aPersonAttachesListsAndDetaches() {
    Command attached = Command.typed("attach", "memory:16M", "--name", "typed").succeeded();
    assertEquals("", attached.errors());
    Path path = Path.of(attached.output().strip());
    Command.shell("cmp -n 16M " + path + " /dev/zero");
    String list = Command.typed("list").succeeded().output();
    assertTrue(list.contains("typed") && list.contains(path.toString()), list);
    Command.typed("detach", path.toString()).succeeded();
    assertTrue(Files.notExists(path));
    Command again = Command.typed("detach", path.toString()).exited(3);
    assertTrue(again.errors().startsWith("ublk-bridge: "), again.errors());
  }

  @Test
  void aServerLeavesNoThreadsBehind() {
    long threads = Long.parseLong(Command.shell("ps -eLf | grep -v '\\[.*\\]$' | wc -l"));
    Disk.attach("memory:16M").close();
    long threadsAfter = Long.parseLong(Command.shell("ps -eLf | grep -v '\\[.*\\]$' | wc -l"));
    assertTrue(threadsAfter <= threads + 2, threads + " threads became " + threadsAfter);
  }

  @Test
  void manyDisksOfOneProcessLeaveNoThreadsAndFiles() {
    // The first one starts what stays for good: helper threads, class files.
    Disk.serve("memory:16M").close();
    String before = openFilesAndThreads();
    for (int cycle = 0; cycle < CYCLES; cycle++) {
      try (Disk disk = Disk.serve("memory:16M")) {
        Command.shell("dd if=" + disk.path() + " of=/dev/null bs=64k count=4 iflag=direct");
      }
    }
    assertEquals(before, openFilesAndThreads());
  }

  private static String openFilesAndThreads() {
    long pid = ProcessHandle.current().pid();
    // The JVM's own threads and files come and go while they are listed.
    return Command.shell(
        ("{ ls -l /proc/%1$d/fd 2>/dev/null || true; } | awk '/ublk|io_uring|eventfd/' | wc -l; "
                + "{ cat /proc/%1$d/task/*/comm 2>/dev/null || true; } | awk '/^ublk/' | wc -l; "
                + "awk '/ublk|io_uring/' /proc/%1$d/maps | wc -l")
            .formatted(pid));
  }

  @Test
  @Tag("linux-7")
  void twoDisksLiveSideBySide() {
    try (Disk first = Disk.attach("memory:16M", "--name", "first");
        Disk second = Disk.attach("memory:32M", "--name", "second")) {
      assertNotEquals(first.path(), second.path());
      Command.shell("dd if=/dev/urandom of=" + first.path() + " bs=1M count=16 oflag=direct");
      Command.shell("cmp -n 32M " + second.path() + " /dev/zero");
      String list = Command.ublkBridge("list").succeeded().output();
      assertTrue(list.contains("first") && list.contains("second"), list);
    }
  }

  @Test
  void forcedDetachUnderLoadEndsTheLoadWithErrors() throws Exception {
    Disk disk = Disk.attach("memory:64M");
    Process load = RandomLoad.start(disk.path(), 64, dir.resolve("fio.log"));
    assertEquals(4, Command.ublkBridge("detach", disk.path().toString()).status());
    Command.ublkBridge("detach", "--force", disk.path().toString()).succeeded();
    assertTrue(Files.notExists(disk.path()));
    assertNotEquals(0, load.waitFor());
  }

  @Test
  @Tag("linux-7")
  void mountedDiskIsNotDetached() throws IOException {
    Path mountPoint = Files.createTempDirectory("mnt");
    try (Disk disk = Disk.attach("memory:64M")) {
      Command.shell("mkfs.ext4 -q " + disk.path());
      disk.mount(mountPoint);
      Command refused = Command.ublkBridge("detach", disk.path().toString()).exited(4);
      assertTrue(refused.errors().contains(mountPoint.toString()), refused.errors());
      Command.shell("touch " + mountPoint + "/still-works; umount " + mountPoint);
    }
  }

  @Test
  @Tag("linux-7")
  void disksAreFoundByNameAndDetachedByName() {
    Disk disk = Disk.attach("memory:16M", "--name", "scratch");
    Command again = Command.ublkBridge("attach", "memory:16M", "--name", "scratch").succeeded();
    assertEquals(disk.path().toString(), again.output().strip(), "the same again is no error");
    Command.ublkBridge("attach", "memory:32M", "--name", "scratch").exited(5);
    String status = Command.ublkBridge("status", "scratch").succeeded().output();
    assertTrue(status.contains(disk.path().toString()), status);
    Command.ublkBridge("detach", "scratch").succeeded();
    assertTrue(Files.notExists(disk.path()));
    Command.ublkBridge("detach", "scratch").exited(3);
  }

  @Test
  void everyThreadOfTheServerMustNotReclaimThroughItsOwnDisk() {
    try (Disk disk = Disk.attach("memory:16M", "--name", "flags")) {
      String pid = Command.json("pid", "status", "flags", "--json");
      // The flags are the seventh field behind the command's closing parenthesis; threads of the
      // JVM's compilers may be gone before they are read.
      String flags =
          Command.shell(
              "for t in /proc/%s/task/*/stat; do sed 's/.*) //' $t 2>/dev/null || true; done | cut -d' ' -f7"
                  .formatted(pid));
      assertTrue(flags.lines().count() > 3, "a JVM has threads");
      for (String word : flags.lines().toList()) {
        assertEquals(IO_FLUSHER_FLAGS, Long.parseLong(word) & IO_FLUSHER_FLAGS, flags);
      }
      String heap =
          Command.shell(
              "awk '/^Size:/ {size = $2} /^Rss:/ && size >= 32768 && size < 65536 {print size - $2}' /proc/%s/smaps"
                  .formatted(pid));
      assertTrue(heap.lines().anyMatch("0"::equals), "all of the heap is resident: " + heap);
      String ours = Command.shell("readlink /proc/self/ns/mnt");
      assertNotEquals(ours, Command.shell("readlink /proc/" + pid + "/ns/mnt"), disk.toString());
    }
  }

  @Test
  void killedServerIsCleanedUpButForItsLog() {
    Disk disk = Disk.attach("memory:16M", "--name", "killed");
    String log = Command.json("log", "status", "killed", "--json");
    Command.shell("kill -9 " + Command.json("pid", "status", "killed", "--json"));
    Command.shell("for i in $(seq 100); do [ -b " + disk.path() + " ] || break; sleep 0.1; done");
    assertTrue(Files.notExists(disk.path()), "without its server the disk goes away");
    Command.ublkBridge("detach", "killed").succeeded();
    assertTrue(Files.exists(Path.of(log)), "somebody may want to know why it died");
    Command.shell("rm " + log);
  }

  @Test
  @Tag("linux-7")
  void foregroundServerEndsCleanlyWhenTold() throws Exception {
    Process server =
        new ProcessBuilder("ublk-bridge", "attach", "memory:16M", "--foreground", "--name", "front")
            .redirectErrorStream(false)
            .redirectError(dir.resolve("err").toFile())
            .start();
    String path = new String(server.getInputStream().readNBytes(11), StandardCharsets.UTF_8);
    assertTrue(path.startsWith("/dev/ublkb"), path);
    Command.shell("[ -b " + path.strip() + " ]");
    server.destroy();
    assertEquals(0, server.waitFor());
  }
}
