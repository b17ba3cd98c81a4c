package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.it.NbdServer.Kind;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/// Disks in use get another server, and nobody notices more than a pause.
///
/// `-Dsoak.rounds=N` upgrades each N times.
@ExtendWith(NothingLeftBehind.class)
final class UpgradeIT {
  private static final int ROUNDS = Integer.getInteger("soak.rounds", 1);

  /// One run of the load; there is another as long as there are upgrades.
  private static final int LOAD_SECONDS = 5;

  private static final Pattern ANSWER =
      Pattern.compile("(/dev/ublkb\\d+) I/O waited for (\\d+) ms\n");

  @TempDir Path dir;

  @Test
  @Tag("long")
  void anUpgradeOfAFileIsNotNoticed() throws Exception {
    try (Disk disk = Disk.attach("file:" + image(), "--name", "upgraded")) {
      assertUnnoticed(disk);
    }
  }

  @Test
  void anUpgradeOfAnNbdExportIsNotNoticed() throws Exception {
    try (NbdServer server = NbdServer.serve(Kind.NBDKIT, image());
        Disk disk = Disk.attach(server.uri(), "--name", "upgraded")) {
      assertUnnoticed(disk);
    }
  }

  private Path image() {
    Path image = dir.resolve("disk.img");
    Command.shell("truncate -s 64M " + image);
    return image;
  }

  private static void assertUnnoticed(Disk disk) throws Exception {
    Command.shell("dmesg --clear");
    AtomicBoolean over = new AtomicBoolean();
    List<Long> pausesMillis = new ArrayList<>();
    ExecutorService writer = ForkJoinPool.commonPool();
    Future<?> load =
        writer.submit(() -> {
          do {
            VerifiedWrites.run(disk, LOAD_SECONDS).succeeded();
          } while (!over.get());
        });
    try {
      for (int round = 0; round < ROUNDS; round++) {
        String old = pid();
        awaitLoad(disk);
        Command upgraded = Command.ublkBridge("upgrade", "upgraded", "--timeout", "4m").succeeded();
        Matcher answer = ANSWER.matcher(upgraded.output());
        assertTrue(answer.matches(), upgraded.output());
        assertEquals(disk.path().toString(), answer.group(1));
        pausesMillis.add(Long.parseLong(answer.group(2)));
        assertNotEquals(old, pid(), "another process serves");
      }
    } finally {
      over.set(true);
      load.get();
    }
    pausesMillis.sort(null);
    System.out.printf(
        "%d upgrades, pauses of %d ms (median), %d ms (worst)%n",
        pausesMillis.size(),
        pausesMillis.get((pausesMillis.size() - 1) / 2),
        pausesMillis.getLast());
    assertEquals("0", Command.json("recoveries", "status", "upgraded", "--json"));
    assertEquals("", Command.shell("dmesg | grep -i 'I/O error' || true"));
    assertEquals("1", Command.shell("pgrep -fc '^/bin/sh .*/lib/watch '"), "watchers");
  }

  private static String pid() {
    return Command.json("pid", "status", "upgraded", "--json");
  }

  private static void awaitLoad(Disk disk) {
    Command.shell(
        "for i in $(seq 600); do read r w </sys/block/%s/inflight; [ $w -gt 32 ] && exit; sleep 0.05; done; exit 1"
            .formatted(disk.name()));
  }
}
