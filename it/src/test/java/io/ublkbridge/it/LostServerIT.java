package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A remote that fails gives errors, never wrong data and never a hang.
@Tag("linux-6.12")
final class LostServerIT {
  /// Ten seconds on a real processor; an emulator shares it.
  private static final Duration PATIENCE = Duration.ofSeconds(40);

  @TempDir Path dir;

  private static Command read(Disk disk) {
    return Command.run(
        "dd", "if=" + disk.path(), "of=/dev/null", "bs=4k", "count=1", "iflag=direct");
  }

  @Test
  void detachDoesNotWaitForAServerThatIsGone() {
    NbdServer server = NbdServer.nbdkit("memory", "64M");
    Disk disk = Disk.attach(server.uri(), "--name", "lost");
    read(disk).succeeded();
    server.kill();
    Instant begin = Instant.now();
    Command.ublkBridge("detach", "lost").succeeded();
    assertEndedSince(begin, "detach");
    assertTrue(Files.notExists(disk.path()));
  }

  /// Nothing is lost, so it ends as if all were well. [#aSignalDoesNotWaitForAServerThatIsGone] is
  /// the same without a terminal.
  @Test
  @Tag("long")
  void controlCDoesNotWaitForAServerThatIsGone() throws Exception {
    NbdServer server = NbdServer.nbdkit("memory", "64M");
    Path errors = dir.resolve("err");
    // Whoever started these tests may have told everything below to ignore the signal.
    Process front =
        new ProcessBuilder(
                "env",
                "--default-signal=INT",
                "ublk-bridge",
                "attach",
                server.uri(),
                "--foreground",
                "--timeout",
                "5m",
                "--name",
                "front")
            .redirectError(errors.toFile())
            .start();
    String path = String.valueOf(front.inputReader().readLine());
    assertTrue(path.startsWith("/dev/ublkb"), () -> path + Command.shell("cat " + errors));
    server.kill();
    Command.shell("until grep -q 'requests wait, reconnecting' " + errors + "; do sleep 0.2; done");
    Instant begin = Instant.now();
    Command.shell("kill -INT " + front.pid());
    assertEquals(0, front.waitFor());
    assertEndedSince(begin, "Ctrl-C");
    assertTrue(Files.notExists(Path.of(path)));
  }

  /// As `systemctl stop` does it. The status tells that somebody's write was given up.
  @Test
  void aSignalDoesNotWaitForAServerThatIsGone() throws Exception {
    NbdServer server = NbdServer.nbdkit("memory", "64M");
    Disk disk = Disk.attach(server.uri(), "--name", "lost");
    server.kill();
    Process writer =
        new ProcessBuilder(
                "dd", "if=/dev/zero", "of=" + disk.path(), "bs=4k", "count=1", "oflag=direct")
            .start();
    JsonNode status = statusWithOneRequestWaiting();
    assertTrue(
        status.at("/outage/why").asText().contains("there is no such socket")
            || status.at("/outage/why").asText().contains("connection refused")
            || status.at("/outage/why").asText().contains("closed the connection"),
        status.toString());
    assertTrue(status.at("/outage/seconds").isIntegralNumber(), status.toString());
    ProcessHandle process = ProcessHandle.of(status.at("/pid").asLong()).orElseThrow();
    Path log = Path.of(status.at("/log").asText());
    Instant begin = Instant.now();
    process.destroy();
    process.onExit().get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
    assertEndedSince(begin, "SIGTERM");
    assertTrue(Files.notExists(disk.path()));
    assertNotEquals(0, writer.waitFor(), "its write was given up");
    assertTrue(Files.readString(log).contains("1 requests failed"), Files.readString(log));
    Files.delete(log);
  }

  private static JsonNode statusWithOneRequestWaiting() throws JsonProcessingException {
    while (true) {
      Command asked = Command.ublkBridge("status", "lost", "--json").succeeded();
      JsonNode status = new ObjectMapper().readTree(asked.output());
      if (status.at("/outage/requestsWaiting").asInt() == 1) {
        return status;
      }
      LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(200));
    }
  }

  private static void assertEndedSince(Instant begin, String how) {
    Duration took = Duration.between(begin, Instant.now());
    System.out.printf("ended %d ms after %s%n", took.toMillis(), how);
    assertTrue(took.compareTo(PATIENCE) < 0);
  }

  @Test
  void writesThatWaitAreNotThrownAwayByADetach() throws Exception {
    NbdServer server = NbdServer.nbdkit("memory", "64M");
    Disk disk = Disk.attach(server.uri(), "--name", "lost");
    server.kill();
    Process writer =
        new ProcessBuilder(
                "dd", "if=/dev/zero", "of=" + disk.path(), "bs=4k", "count=1", "oflag=direct")
            .start();
    statusWithOneRequestWaiting();
    Command refused = Command.ublkBridge("detach", "lost");
    assertTrue(refused.status() == 7 || refused.status() == 4, refused.errors());
    server.restart();
    assertEquals(0, writer.waitFor(), "the server came back and nobody noticed");
    server.kill();
    Command.ublkBridge("detach", "--force", "lost").succeeded();
    assertTrue(Files.notExists(disk.path()));
  }

  @Test
  void patienceEndsWithAnError() {
    NbdServer server = NbdServer.nbdkit("memory", "64M");
    try (ServedDisk disk = ServedDisk.serve(server.uri(), Map.of("loss-timeout", "2s"))) {
      read(disk).succeeded();
      server.kill();
      Command failed = read(disk);
      assertNotEquals(0, failed.status());
      assertTrue(failed.errors().contains("Link has been severed"), failed.errors());
      server.restart();
      Command.shell(
          "until dd if="
              + disk.path()
              + " of=/dev/null bs=4k count=1 iflag=direct; do sleep 0.2; done");
    } finally {
      server.close();
    }
  }

  @Test
  void errorsOfTheServerReachTheProgram() {
    Path image = dir.resolve("disk.img");
    Command.shell("truncate -s 64M " + image);
    Path inject = dir.resolve("inject");
    try (NbdServer server =
            NbdServer.nbdkit(
                "--filter=error",
                "file",
                image.toString(),
                "error-pwrite=ENOSPC",
                "error-pread=EIO",
                "error-rate=100%",
                "error-file=" + inject);
        Disk disk = Disk.serve(server.uri())) {
      Command.shell("touch " + inject);
      Command full =
          Command.run(
              "dd", "if=/dev/zero", "of=" + disk.path(), "bs=4k", "count=1", "oflag=direct");
      assertTrue(full.errors().contains("No space left"), full.errors());
      assertTrue(read(disk).errors().contains("Input/output error"));
      Command.shell("rm " + inject);
      read(disk).succeeded();
    }
  }
}
