package io.ublkbridge.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.cli.DeviceRegistry.Health;
import io.ublkbridge.cli.ProcessTable.Identity;
import io.ublkbridge.kernel.Deadline;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TakeoverTest {
  @TempDir Path root;
  private FakeHost host;
  private final List<ServerRequest> asked = new ArrayList<>();
  private final List<Process> servers = new ArrayList<>();

  @BeforeEach
  void able() throws IOException {
    host = FakeHost.able(root);
  }

  /// Recovers with a server that is a shell script.
  private String recover(DeviceRecord record, String script, Duration timeout)
      throws CommandFailure {
    ServerStarter starter =
        (request, _) -> {
          asked.add(request);
          Process server = new ProcessBuilder("sh", "-c", script).start();
          servers.add(server);
          return DaemonProcess.of(server);
        };
    return new Takeover(host.host(), record, Deadline.after(timeout), starter, true).recover();
  }

  private CommandFailure refused(DeviceRecord record, String script) {
    return assertThrows(
        CommandFailure.class, () -> recover(record, script, Duration.ofSeconds(20)));
  }

  @Test
  void asksForTheDeviceAsItWas() throws Exception {
    DeviceRecord lost = host.lostDevice(3, "vol", "file:/disk");

    String path = recover(lost, "echo '{\"ready\":3}'", Duration.ofSeconds(20));

    assertEquals(root.resolve("dev/ublkb3").toString(), path);
    ServerRequest request = asked.getFirst();
    assertEquals(ServerRequest.Task.RECOVER, request.task());
    assertEquals("file:/disk", request.source());
    assertEquals(lost.options(), request.targetOptions());
    assertEquals(3, request.device().id());
    assertEquals(2, request.device().queues());
    assertEquals(128, request.device().depth());
    assertEquals(512 << 10, request.device().maxIoBytes());
  }

  @Test
  void leavesADeviceThatIsServedAlone() throws Exception {
    DeviceRecord live = host.liveDevice(3, "vol", "file:/disk");

    assertEquals("/dev/ublkb3", recover(live, "exit 1", Duration.ofSeconds(20)));
    assertTrue(servers.isEmpty());
  }

  @Test
  void startsNothingForADiskThatEndedWithItsServer() throws Exception {
    CommandFailure failure = refused(host.device(3, "vol", "memory:1G", 77), "exit 1");

    assertEquals("cannot recover vol: its disk ended with its server", failure.message());
    assertTrue(servers.isEmpty());
  }

  @Test
  void startsNothingForADeviceThatIsBarred() throws Exception {
    DeviceRecord barred = host.lostDevice(3, "vol", "file:/disk").barred("it has lost writes");

    CommandFailure failure = refused(barred, "exit 1");

    assertEquals("cannot recover vol: it has lost writes", failure.message());
    assertTrue(servers.isEmpty());
  }

  @Test
  void passesOnWhyNotAndLeavesTheDevice() throws Exception {
    DeviceRecord lost = host.lostDevice(3, "vol", "file:/disk");

    CommandFailure failure =
        refused(lost, "echo '{\"failed\":\"cannot recover vol: x\",\"exitCode\":\"FAILURE\"}'");

    assertEquals("cannot recover vol: x", failure.message());
    assertEquals(Health.LOST, host.registry().health(lost));
    assertEquals(List.of(lost), host.registry().all());
  }

  @Test
  void endsAServerThatTakesTooLongAndLeavesTheDevice() throws Exception {
    DeviceRecord lost = host.lostDevice(3, "vol", "file:/disk");

    CommandFailure failure =
        assertThrows(
            CommandFailure.class, () -> recover(lost, "exec sleep 100", Duration.ofMillis(500)));

    assertEquals(ExitCode.TIMED_OUT, failure.exitCode());
    assertFalse(servers.getFirst().isAlive());
    assertEquals(List.of(lost), host.registry().all());
  }

  @Test
  void waitsForSomebodyElseWhoIsAtIt() throws Exception {
    DeviceRecord lost = host.lostDevice(3, "vol", "file:/disk");
    host.process(88, "java");
    DeviceRecord claimed = lost.claimedBy(new Identity(88, FakeHost.START_TICKS), "/log");
    host.registry().write(claimed);
    Thread other =
        Thread.ofPlatform()
            .start(() -> {
              try {
                Process pause = new ProcessBuilder("sleep", "0.3").start();
                pause.onExit().join();
                host.registry().write(claimed.recovered(true, false));
              } catch (IOException e) {
                throw new AssertionError(e);
              }
            });

    assertEquals("/dev/ublkb3", recover(lost, "exit 1", Duration.ofSeconds(20)));
    other.join();
    assertTrue(servers.isEmpty());
  }

  @Test
  void aLostDeviceInUseIsNotDetachedWithoutForce() throws Exception {
    DeviceRecord lost = host.lostDevice(3, "vol", "file:/disk");
    host.process(99, "fio");
    host.link("proc/99/fd/4", "/dev/ublkb3");

    CommandFailure failure =
        assertThrows(CommandFailure.class, () -> new Detachment(host.host(), lost, false).detach());

    assertEquals(ExitCode.BUSY, failure.exitCode());
    assertEquals(List.of(lost), host.registry().all());
    new Detachment(host.host(), lost, true).detach();
    assertEquals(List.of(), host.registry().all());
  }

  @Test
  void aLostDeviceThatNobodyUsesIsDetached() throws Exception {
    DeviceRecord lost = host.lostDevice(3, "vol", "file:/disk");
    new Detachment(host.host(), lost, false).detach();
    assertEquals(List.of(), host.registry().all());
  }

  @Test
  void listAndStatusSayWhatItWaitsFor() throws Exception {
    DeviceRecord lost = host.lostDevice(3, "vol", "file:/disk");
    assertTrue(CommandLineRun.of(host.host(), "list").out().contains("lost"));
    String status = CommandLineRun.of(host.host(), "status", "vol").out();
    assertTrue(status.contains("a server: ublk-bridge recover vol"), status);
    host.registry().write(lost.barred("it has lost writes"));
    status = CommandLineRun.of(host.host(), "status", "vol").out();
    assertTrue(status.contains("cannot be recovered: it has lost writes"), status);
  }
}
