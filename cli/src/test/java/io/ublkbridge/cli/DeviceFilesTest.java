package io.ublkbridge.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.ublkbridge.cli.DeviceRegistry.Health;
import io.ublkbridge.device.DeviceOptions;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Who may take a device over.
class DeviceFilesTest {
  @TempDir Path root;
  private FakeHost host;

  @BeforeEach
  void able() throws IOException {
    host = FakeHost.able(root);
    host.process(ProcessHandle.current().pid(), "java");
  }

  private DeviceFiles files() {
    return new DeviceFiles(
        host.host(),
        new ServerRequest(
            "file:/disk",
            "vol",
            DeviceOptions.defaults(),
            Map.of(),
            Instant.EPOCH,
            null,
            "",
            true));
  }

  private CommandFailure refused() {
    return assertThrows(CommandFailure.class, () -> files().claim(3));
  }

  @Test
  void aLostDeviceIsClaimedByOne() throws Exception {
    host.lostDevice(3, "vol", "file:/disk");
    DeviceFiles first = files();

    DeviceRecord claimed = first.claim(3);

    assertEquals(ProcessHandle.current().pid(), claimed.server().pid());
    assertEquals(Health.RECOVERING, host.registry().health(claimed));
    assertEquals(ExitCode.BUSY, refused().exitCode());
    assertEquals(Health.LIVE, host.registry().health(first.recovered()));
    assertEquals(1, host.registry().all().size());
  }

  @Test
  void aDeviceThatIsServedIsLeftAlone() throws Exception {
    host.liveDevice(3, "vol", "file:/disk");
    assertEquals(ExitCode.BUSY, refused().exitCode());
  }

  @Test
  void aDeviceThatIsBarredOrEndedWithItsServerIsLeftAlone() throws Exception {
    DeviceRecord lost = host.lostDevice(3, "vol", "file:/disk");
    host.registry().write(lost.barred("it has lost writes"));
    assertEquals("cannot recover vol: it has lost writes", refused().message());
    host.device(3, "vol", "memory:1G", 77);
    assertEquals("cannot recover vol: its disk ended with its server", refused().message());
  }

  @Test
  void aDeviceThatIsGoneIsNone() {
    assertEquals(ExitCode.NO_SUCH_DEVICE, refused().exitCode());
  }

  /// As when a flush of what was written before fails: the next one could succeed.
  @Test
  void aBarOutlivesWhoSetIt() throws Exception {
    host.lostDevice(3, "vol", "file:/disk");
    DeviceFiles first = files();
    DeviceRecord claimed = first.claim(3);
    first.bar("it has lost writes");
    host.file("proc/" + claimed.server().pid() + "/stat", "");
    assertEquals("cannot recover vol: it has lost writes", refused().message());
  }
}
