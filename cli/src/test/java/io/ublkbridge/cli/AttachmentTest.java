package io.ublkbridge.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.device.DeviceOptions;
import io.ublkbridge.kernel.Deadline;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AttachmentTest {
  private static final String SOURCE = "nbd://h/vol";

  @TempDir Path root;
  private FakeHost host;
  private final List<Process> servers = new ArrayList<>();

  @BeforeEach
  void able() throws IOException {
    host = FakeHost.able(root);
  }

  private AttachRequest request(@Nullable String name, int id, Duration timeout) {
    DeviceOptions any = DeviceOptions.defaults();
    DeviceOptions options =
        new DeviceOptions(id, 0, any.depth(), any.maxIoBytes(), any.blockBytes(), false);
    return new AttachRequest(SOURCE, name, options, Map.of(), timeout, false);
  }

  /// Attaches with a server that is a shell script; `$LOG` is its log.
  private String attach(AttachRequest request, String script) throws CommandFailure {
    ServerStarter starter =
        (_, log) -> {
          ProcessBuilder shell = new ProcessBuilder("sh", "-c", script);
          shell.environment().put("LOG", String.valueOf(log));
          Process server = shell.start();
          servers.add(server);
          return DaemonProcess.of(server);
        };
    return new Attachment(host.host(), request, starter).attach();
  }

  private CommandFailure refused(AttachRequest request, String script) {
    return assertThrows(CommandFailure.class, () -> attach(request, script));
  }

  private AttachRequest plain() {
    return request(null, DeviceOptions.ANY_ID, Duration.ofSeconds(20));
  }

  private void assertNothingLeft() throws IOException {
    try (var files = Files.list(host.host().logs())) {
      assertEquals(List.of(), files.toList());
    }
    assertEquals(List.of(), host.registry().all());
    Deadline deadline = Deadline.after(Duration.ofSeconds(10));
    while (servers.stream().anyMatch(Process::isAlive) && deadline.pause()) {
      // Killed processes take a moment.
    }
    assertFalse(servers.stream().anyMatch(Process::isAlive));
  }

  @Test
  void givesThePathOnceTheServerIsReady() throws Exception {
    host.file("dev/ublkb4", "");

    String path = attach(plain(), "echo '{\"added\":4}'; echo '{\"ready\":4}'");

    assertEquals(root.resolve("dev/ublkb4").toString(), path);
  }

  @Test
  void passesOnWhyTheServerCannot() throws Exception {
    CommandFailure failure =
        refused(
            plain(),
            "echo '{\"failed\":\"cannot attach x: refused\",\"exitCode\":\"UNREACHABLE\","
                + "\"remedy\":\"look\"}'");

    assertEquals(ExitCode.UNREACHABLE, failure.exitCode());
    assertEquals("cannot attach x: refused", failure.message());
    assertEquals("look", failure.remedy());
    assertNothingLeft();
  }

  @Test
  void quotesTheLastWordsOfAServerThatDied() throws Exception {
    CommandFailure failure =
        refused(plain(), "printf 'first\\nOut of luck\\n\\tat x\\n' >>\"$LOG\"; exit 1");

    assertEquals(ExitCode.FAILURE, failure.exitCode());
    assertEquals(
        "cannot attach nbd://h/vol: its server died, last saying: Out of luck", failure.message());
    assertNothingLeft();
  }

  @Test
  void killsAServerThatTakesTooLong() throws Exception {
    AttachRequest hasty = request(null, DeviceOptions.ANY_ID, Duration.ofMillis(700));

    CommandFailure failure = refused(hasty, "echo '{\"added\":4}'; exec sleep 100");

    assertEquals(ExitCode.TIMED_OUT, failure.exitCode());
    assertEquals("cannot attach nbd://h/vol: not done within 700ms", failure.message());
    assertNothingLeft();
  }

  @Test
  void timesOutWithoutANode() throws Exception {
    AttachRequest hasty = request(null, DeviceOptions.ANY_ID, Duration.ofMillis(700));

    CommandFailure failure =
        refused(hasty, "echo '{\"added\":4}'; echo '{\"ready\":4}'; exec sleep 100");

    assertEquals(ExitCode.TIMED_OUT, failure.exitCode());
    assertNothingLeft();
  }

  @Test
  void isDoneWhenTheSameIsThere() throws Exception {
    host.liveDevice(2, "vol", SOURCE);

    AttachRequest named = request("vol", DeviceOptions.ANY_ID, Duration.ofSeconds(20));

    assertEquals("/dev/ublkb2", attach(named, "exit 1"));
    assertTrue(servers.isEmpty());
  }

  @Test
  void isDoneWhenTheSameIsThereUnderADerivedName() throws Exception {
    host.liveDevice(1, "h-vol", "nbd://h:1234/vol");
    host.liveDevice(2, "h-vol-2", SOURCE);

    assertEquals("/dev/ublkb2", attach(plain(), "exit 1"));
  }

  @Test
  void replacesADeviceWhoseServerDied() throws Exception {
    host.device(2, "vol", "nbd://other/vol", 99);
    host.file("dev/ublkb4", "");

    attach(request("vol", DeviceOptions.ANY_ID, Duration.ofSeconds(20)), "echo '{\"ready\":4}'");

    assertEquals(List.of(), host.registry().all());
  }

  @Test
  void recoversTheSameWhoseServerIsGone() throws Exception {
    host.lostDevice(2, "vol", SOURCE);

    AttachRequest named = request("vol", DeviceOptions.ANY_ID, Duration.ofSeconds(20));

    assertEquals(root.resolve("dev/ublkb2").toString(), attach(named, "echo '{\"ready\":2}'"));
    assertEquals(1, servers.size());
    assertEquals(1, host.registry().all().size());
  }

  /// Somebody may have it mounted, and waits.
  @Test
  void leavesTheNameToAnotherDiskThatWaitsForAServer() throws Exception {
    host.lostDevice(2, "vol", "nbd://other/vol");

    CommandFailure failure =
        refused(request("vol", DeviceOptions.ANY_ID, Duration.ofSeconds(20)), "exit 1");

    assertEquals(ExitCode.TAKEN, failure.exitCode());
    assertTrue(servers.isEmpty());
    assertEquals(1, host.registry().all().size());
  }

  @Test
  void leavesTheNameToAnotherSource() throws Exception {
    host.liveDevice(2, "vol", "nbd://other/vol");

    CommandFailure failure =
        refused(request("vol", DeviceOptions.ANY_ID, Duration.ofSeconds(20)), "exit 1");

    assertEquals(ExitCode.TAKEN, failure.exitCode());
    assertEquals(
        "cannot attach nbd://h/vol: the name 'vol' belongs to /dev/ublkb2 (nbd://other/vol)",
        failure.message());
    assertTrue(servers.isEmpty());
  }

  @Test
  void leavesTheIdToAnotherDevice() throws Exception {
    host.liveDevice(2, "other", "nbd://other/vol");
    host.file("dev/ublkc2", "");

    CommandFailure failure = refused(request("vol", 2, Duration.ofSeconds(20)), "exit 1");

    assertEquals(ExitCode.TAKEN, failure.exitCode());
    assertTrue(failure.message().contains("the id 2 belongs to /dev/ublkb2 (nbd://other/vol)"));
  }

  @Test
  void startsNothingOnAHostThatCannot() throws Exception {
    Files.delete(root.resolve("dev/ublk-control"));

    CommandFailure failure = refused(plain(), "exit 1");

    assertEquals(ExitCode.HOST_CANNOT, failure.exitCode());
    assertTrue(servers.isEmpty());
    assertFalse(Files.exists(host.host().logs()));
  }
}
