package io.ublkbridge.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.cli.ProcessTable.Identity;
import io.ublkbridge.cli.ServerRequest.Task;
import io.ublkbridge.kernel.Deadline;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// What is asked of whom when a device gets a new server, and what is left if that fails.
class UpgradeTest {
  private static final String FAILS =
      "echo '{\"failed\":\"cannot upgrade vol: x\",\"exitCode\":\"FAILURE\"}'";

  @TempDir Path root;
  private FakeHost host;
  private final List<ServerRequest> asked = new ArrayList<>();
  private @Nullable ControlSocket socket;

  @BeforeEach
  void able() throws IOException {
    host = FakeHost.able(root);
  }

  @AfterEach
  void close() {
    if (socket != null) {
      socket.close();
    }
  }

  /// A device with a server that says this of itself.
  private DeviceRecord served(Map<String, Object> status) throws IOException {
    DeviceRecord lost = host.lostDevice(3, "vol", "file:/disk");
    host.process(lost.server().pid(), "java");
    socket = ControlSocket.open(host.registry().socket(3), new CannedReplies(status));
    return lost;
  }

  /// Upgrades with servers that are shell scripts, one after the other.
  private Duration upgrade(DeviceRecord record, String... scripts) throws CommandFailure {
    ServerStarter starter =
        (request, _) -> {
          String script = scripts[asked.size()];
          asked.add(request);
          return DaemonProcess.of(new ProcessBuilder("sh", "-c", script).start());
        };
    return new Upgrade(host.host(), record, Deadline.after(Duration.ofSeconds(20)), starter)
        .upgrade();
  }

  private CommandFailure refused(DeviceRecord record, String... scripts) {
    return assertThrows(CommandFailure.class, () -> upgrade(record, scripts));
  }

  @Test
  void asksForTheDeviceAsItIsAndTellsThePause() throws Exception {
    DeviceRecord served = served(Map.of());

    Duration pause = upgrade(served, "echo '{\"ready\":3,\"pauseMillis\":120}'");

    assertEquals(Duration.ofMillis(120), pause);
    ServerRequest request = asked.getFirst();
    assertEquals(Task.UPGRADE, request.task());
    assertEquals("file:/disk", request.source());
    assertEquals(served.options(), request.targetOptions());
    assertEquals(3, request.device().id());
  }

  @Test
  void leavesADiskAloneThatEndsWithItsServer() throws Exception {
    CommandFailure failure = refused(host.liveDevice(3, "vol", "memory:1G"));
    assertTrue(failure.message().contains("ends with its server"), failure.message());
  }

  @Test
  void saysWhatElseADeviceWithoutAServerNeeds() throws Exception {
    CommandFailure failure = refused(host.lostDevice(3, "vol", "file:/disk"));
    assertEquals("cannot upgrade vol: its server is gone", failure.message());
    assertTrue(String.valueOf(failure.remedy()).startsWith("ublk-bridge recover vol"));
    host.process(88, "java");
    DeviceRecord claimed =
        host.lostDevice(3, "vol", "file:/disk")
            .claimedBy(new Identity(88, FakeHost.START_TICKS), "/log");
    assertEquals(ExitCode.BUSY, refused(claimed).exitCode());
  }

  @Test
  void leavesADeviceAloneWhoseRemoteIsGone() throws Exception {
    DeviceRecord served = served(Map.of("outage", Map.of("why", "connection refused")));
    CommandFailure failure = refused(served);
    assertEquals(ExitCode.UNREACHABLE, failure.exitCode());
    assertEquals("cannot upgrade vol: connection refused", failure.message());
  }

  @Test
  void leavesEverythingAsItWasIfTheNewServerFails() throws Exception {
    DeviceRecord served = served(Map.of());
    assertEquals("cannot upgrade vol: x", refused(served, FAILS).message());
    assertEquals(List.of(served), host.registry().all());
  }

  @Test
  void recoversADeviceThatWasHandedToAServerThatFails() throws Exception {
    DeviceRecord served = served(Map.of());
    handOver(served);
    Duration pause = upgrade(served, FAILS, "echo '{\"ready\":3}'");
    assertTrue(pause.toSeconds() >= 60, "it has waited since it was handed over: " + pause);
    assertEquals(List.of(Task.UPGRADE, Task.RECOVER), asked.stream().map(r -> r.task()).toList());
  }

  @Test
  void saysThatIoWaitsIfThatFailsToo() throws Exception {
    DeviceRecord served = served(Map.of());
    handOver(served);
    CommandFailure failure = refused(served, FAILS, FAILS);
    assertEquals("cannot upgrade vol: x; the old server is gone, and I/O waits", failure.message());
    assertTrue(String.valueOf(failure.remedy()).endsWith("ublk-bridge recover vol"));
  }

  /// As the old server does, to one that does not live long.
  private void handOver(DeviceRecord served) throws IOException {
    Identity gone = new Identity(99, FakeHost.START_TICKS);
    host.registry().write(served.handedTo(gone, Instant.now().minusSeconds(60)));
  }
}
