package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.ublkbridge.it.NbdServer.Kind;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/// Disks that outlive their servers: whoever uses them notices a pause, and a disk that cannot be
/// served on as it was is left waiting.
///
/// `-Dsoak.seconds=N` writes for N seconds; from a minute on a server is killed two seconds after
/// each time that the disk is served again, else once.
@ExtendWith(NothingLeftBehind.class)
final class RecoveryIT {
  private static final int SECONDS = Integer.getInteger("soak.seconds", 7);
  private static final Duration DEADLINE = Duration.ofMinutes(4);
  private static final long SIZE = 64L << 20;

  @TempDir Path dir;

  /// Shortly, [#aLostDiskWaitsForWhatItWas] shows the same of a file.
  @Test
  @Tag("long")
  void aKilledServerOfAFileIsNotNoticed() throws Exception {
    try (Disk disk = Disk.attach("file:" + image(), "--name", "outlives")) {
      assertUnnoticed(disk);
    }
  }

  @Test
  void aKilledServerOfAnNbdExportIsNotNoticed() throws Exception {
    try (NbdServer server = NbdServer.serve(Kind.NBDKIT, image());
        Disk disk = Disk.attach(server.uri(), "--name", "outlives")) {
      assertUnnoticed(disk);
    }
  }

  /// Held in its entry to the kernel, as if the kernel did not come back.
  @Test
  @Tag("long")
  void aServerWhoseLoopHangsGivesWayToAnother() throws Exception {
    try (Disk disk = Disk.attach("file:" + image(), "--name", "hangs", "--queues", "1")) {
      JsonNode served = record(disk);
      String thread =
          Command.shell(
              "basename $(dirname $(grep -l ublk-queue /proc/%s/task/*/comm))"
                  .formatted(served.get("pid").asText()));
      Process holder =
          new ProcessBuilder(
                  "strace", "-p", thread, "-e", "inject=io_uring_enter:delay_enter=600000000")
              .redirectErrorStream(true)
              .redirectOutput(dir.resolve("strace.log").toFile())
              .start();
      Process reader = read(disk);
      Command.shell(
          "until grep -q 'this server ends now' /var/log/ublk-bridge/*.log; do sleep 0.2; done");
      // Whoever traces a thread keeps its process from ending.
      holder.destroyForcibly();
      awaitSuccessor(disk, served);
      assertTrue(reader.waitFor(1, TimeUnit.MINUTES), "who reads goes on");
      assertEquals(0, reader.exitValue());
      assertTrue(holder.waitFor(1, TimeUnit.MINUTES), "the stuck server is gone");
      Command.shell("grep 'has made no turn for 10 s' /var/log/ublk-bridge/*.log");
      Command.shell("grep 'this server ends now' /var/log/ublk-bridge/*.log");
    }
  }

  /// With the watcher out of the way, step by step: a changed target is refused, the old one taken.
  @Test
  @Tag("linux-6.12")
  void aLostDiskWaitsForWhatItWas() throws Exception {
    Path image = image();
    Disk disk = Disk.attach("file:" + image, "--name", "waits");
    Command.shell("printf precious | dd of=%s oflag=direct conv=sync".formatted(disk.path()));
    loseServer(disk);
    Process reader = read(disk);
    assertEquals("lost", Command.json("state", "status", "waits", "--json"));

    Command.shell("truncate -s %d %s".formatted(SIZE + 4096, image));
    Command refused = Command.ublkBridge("recover", "waits").exited(1);
    String expected = "its size was %d bytes and is %d".formatted(SIZE, SIZE + 4096);
    assertTrue(refused.errors().contains(expected), refused.errors());
    assertEquals("lost", Command.json("state", "status", "waits", "--json"));
    assertTrue(reader.isAlive(), "who reads goes on waiting");

    Command.shell("truncate -s %d %s".formatted(SIZE, image));
    Command recovered = Command.ublkBridge("recover", "--all", "--timeout", "4m").succeeded();
    assertEquals(disk.path() + "\n", recovered.output());
    assertTrue(reader.waitFor(1, TimeUnit.MINUTES), "who reads goes on");
    assertEquals(0, reader.exitValue());
    assertEquals("precious", Command.shell("head -c 8 " + dir.resolve("read")));

    loseServer(disk);
    Process loser = read(disk);
    Command.shell("for i in $(seq 100); do pgrep -x dd && break; sleep 0.1; done");
    Command inUse = Command.ublkBridge("detach", "waits").exited(4);
    assertTrue(inUse.errors().contains("its server is gone"), inUse.errors());
    Instant start = Instant.now();
    Command.ublkBridge("detach", "--force", "waits").succeeded();
    assertTrue(Duration.between(start, Instant.now()).toSeconds() < 60, "it does not hang");
    assertTrue(loser.waitFor(1, TimeUnit.MINUTES));
    assertNotEquals(0, loser.exitValue());
    assertTrue(Files.notExists(disk.path()));
    Command.shell("rm /var/log/ublk-bridge/*.log");
  }

  /// The cache of this nbdkit is gone with it, and so is what our server knew: only the file is
  /// left.
  @Test
  @Tag("linux-7")
  void whatNobodyFlushedOutlivesBothServers() throws Exception {
    Path image = image();
    Path written = dir.resolve("written");
    Command.shell("head -c 4M /dev/urandom >" + written);
    try (NbdServer server =
            NbdServer.nbdkit("--filter=cache", "file", image.toString(), "cache=writeback");
        Disk disk = Disk.attach(server.uri(), "--name", "both")) {
      String journal = "/run/ublk-bridge/%s.journal".formatted(disk.name().substring(5));
      assertEquals("600", Command.shell("stat -c %a " + journal));
      Command.shell("dd if=%s of=%s bs=64k oflag=direct".formatted(written, disk.path()));
      // Overlapping, and the latest counts.
      Command.shell(
          "dd if=%1$s of=%2$s bs=4k skip=300 seek=7 count=20 oflag=direct && dd if=%1$s of=%1$s bs=4k skip=300 seek=7 count=20 conv=notrunc"
              .formatted(written, disk.path()));
      loseServer(disk);
      server.kill();
      Command.shell("cmp -n 4M %s /dev/zero".formatted(image));
      server.restart();

      Command.ublkBridge("recover", "both", "--timeout", "4m").succeeded();

      Command.shell("cmp -n 4M %s %s".formatted(written, image));
      Command.shell(
          "dd if=%s bs=64k count=64 iflag=direct | cmp - %s".formatted(disk.path(), written));
      assertEquals("600", Command.shell("stat -c %a " + journal));
    }
  }

  private Path image() {
    Path image = dir.resolve("disk.img");
    Command.shell("truncate -s %d %s".formatted(SIZE, image));
    return image;
  }

  private Process read(Disk disk) throws IOException {
    return new ProcessBuilder(
            "dd", "if=" + disk.path(), "of=" + dir.resolve("read"), "count=1", "iflag=direct")
        .redirectErrorStream(true)
        .redirectOutput(dir.resolve("dd.log").toFile())
        .start();
  }

  /// Kills a server, and first the one who would see to another.
  private void loseServer(Disk disk) {
    String pid = record(disk).get("pid").asText();
    Command.shell("kill -9 $(ps -o ppid= -p %1$s) && kill -9 %1$s".formatted(pid));
    Command.shell("while kill -0 %s 2>/dev/null; do sleep 0.1; done".formatted(pid));
  }

  private static JsonNode record(Disk disk) {
    String id = disk.name().substring("ublkb".length());
    try {
      return new ObjectMapper().readTree(Path.of("/run/ublk-bridge", id + ".json").toFile());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private void assertUnnoticed(Disk disk) throws Exception {
    Command.shell("dmesg --clear");
    AtomicBoolean over = new AtomicBoolean();
    List<Long> pausesMillis = new ArrayList<>();
    Thread killer = Thread.ofPlatform().start(() -> killUntil(over, disk, pausesMillis));
    Command written;
    try {
      written = VerifiedWrites.run(disk, SECONDS);
    } finally {
      over.set(true);
      killer.join();
    }
    written.succeeded();
    pausesMillis.sort(null);
    System.out.printf(
        "%d kills, pauses of %d ms (median), %d ms (worst)%n",
        pausesMillis.size(),
        pausesMillis.get((pausesMillis.size() - 1) / 2),
        pausesMillis.getLast());
    assertEquals(pausesMillis.size(), record(disk).get("recoveries").asInt());
    assertEquals("", Command.shell("dmesg | grep -i 'I/O error' || true"));
  }

  private static void killUntil(AtomicBoolean over, Disk disk, List<Long> pausesMillis) {
    // In an emulator one server's start takes longer than the short form may.
    while (!over.get() && (SECONDS >= 60 || pausesMillis.isEmpty())) {
      LockSupport.parkNanos(TimeUnit.SECONDS.toNanos(2));
      JsonNode served = record(disk);
      Instant killed = Instant.now();
      Command.shell("kill -9 " + served.get("pid").asText());
      awaitSuccessor(disk, served);
      pausesMillis.add(Duration.between(killed, Instant.now()).toMillis());
    }
  }

  private static void awaitSuccessor(Disk disk, JsonNode served) {
    Instant deadline = Instant.now().plus(DEADLINE);
    while (!goesOn(record(disk), served)) {
      if (Instant.now().isAfter(deadline)) {
        throw new AssertionError("nobody took it over: " + record(disk));
      }
      LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(50));
    }
  }

  private static boolean goesOn(JsonNode now, JsonNode before) {
    return now.get("recoveries").asInt() > before.get("recoveries").asInt()
        && !now.get("recovery").get("underWay").asBoolean();
  }
}
