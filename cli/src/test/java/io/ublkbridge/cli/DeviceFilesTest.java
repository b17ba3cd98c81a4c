package io.ublkbridge.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.cli.DeviceRegistry.Health;
import io.ublkbridge.cli.ProcessTable.Identity;
import io.ublkbridge.device.DeviceOptions;
import io.ublkbridge.target.SuccessionFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
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
            ServerRequest.Task.RECOVER));
  }

  private CommandFailure refused() {
    return assertThrows(CommandFailure.class, () -> files().claim(3));
  }

  @Test
  void aLostDeviceIsClaimedByOne() throws Exception {
    host.lostDevice(3, "vol", "file:/disk");
    DeviceFiles first = files();

    var _ = first.claim(3);

    DeviceRecord claimed = host.registry().byId(3).orElseThrow();
    assertEquals(ProcessHandle.current().pid(), claimed.server().pid());
    assertEquals(Health.RECOVERING, host.registry().health(claimed));
    assertEquals(ExitCode.BUSY, refused().exitCode());
    assertEquals(Health.LIVE, host.registry().health(first.recovered(true)));
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

  @Test
  void aDeviceIsHandedToALivingProcessOnly() throws Exception {
    DeviceRecord lost = host.lostDevice(3, "vol", "file:/disk");
    DeviceFiles old = files();
    var _ = old.claim(3);
    var _ = old.recovered(true);
    Identity successor = new Identity(88, FakeHost.START_TICKS);
    assertThrows(IOException.class, () -> old.handTo(successor, Instant.EPOCH));
    assertEquals(Health.LIVE, host.registry().health(host.registry().byId(3).orElseThrow()));

    host.process(88, "java");
    old.handTo(successor, Instant.EPOCH);
    DeviceRecord handed = host.registry().byId(3).orElseThrow();
    assertEquals(successor, handed.server());
    assertEquals(Health.RECOVERING, host.registry().health(handed));
    old.remove();
    assertEquals(List.of(handed), host.registry().all(), "it is not the old one's any more");
    assertEquals(lost.since(), handed.since());
  }

  @Test
  void whatWasHandedOverIsKnownUntilSomebodyServesIt() throws Exception {
    DeviceRecord lost = host.lostDevice(3, "vol", "file:/disk");
    Identity died = new Identity(88, FakeHost.START_TICKS);
    host.registry().write(lost.handedTo(died, Instant.EPOCH));
    DeviceFiles next = files();
    assertEquals(Instant.EPOCH, Objects.requireNonNull(next.claim(3).recovery()).handedOver());
    DeviceRecord served = next.recovered(false);
    DeviceRecord.Recovery recovery = Objects.requireNonNull(served.recovery());
    assertEquals(null, recovery.handedOver());
    assertEquals(0, recovery.count(), "nobody has died");
  }

  /// As when a flush of what was written before fails: the next one could succeed.
  @Test
  void aBarOutlivesWhoSetIt() throws Exception {
    host.lostDevice(3, "vol", "file:/disk");
    DeviceFiles first = files();
    var _ = first.claim(3);
    DeviceRecord claimed = host.registry().byId(3).orElseThrow();
    first.bar("it has lost writes");
    host.file("proc/" + claimed.server().pid() + "/stat", "");
    assertEquals("cannot recover vol: it has lost writes", refused().message());
  }

  /// A file that is there is believed only if the server before has said that it keeps one.
  @Test
  void aJournalIsInheritedFromAServerThatKeptOne() throws Exception {
    host.lostDevice(3, "vol", "nbd://host/");
    host.file("run/ublk-bridge/3.journal", "");
    DeviceFiles first = files();
    var _ = first.claim(3);
    assertEquals(
        new SuccessionFile(root.resolve("run/ublk-bridge/3.journal"), false),
        first.successionFile());
    DeviceRecord served = first.recovered(true);

    // Its server dies, and so does the next one before it serves.
    host.file("proc/" + served.server().pid() + "/stat", "");
    host.registry().write(served.claimedBy(new Identity(77, 1), "log"));
    host.process(ProcessHandle.current().pid(), "java");
    DeviceFiles next = files();
    var _ = next.claim(3);
    assertTrue(next.successionFile().inherited());
    Files.delete(root.resolve("run/ublk-bridge/3.journal"));
    var _ = next.recovered(true);
    assertFalse(next.successionFile().inherited(), "there is no file any more");
  }

  @Test
  void aRecordOfAVersionWithoutJournalsHasNone() throws Exception {
    DeviceRecord lost = host.lostDevice(3, "vol", "nbd://host/");
    String old = lost.toJson().replace(",\"journal\":false", "");
    assertFalse(old.contains("journal"), old);
    assertEquals(lost, DeviceRecord.ofJson(old));
  }

  @Test
  void theJournalGoesWithTheDevice() throws Exception {
    host.lostDevice(3, "vol", "nbd://host/");
    DeviceFiles files = files();
    var _ = files.claim(3);
    host.file("run/ublk-bridge/3.journal", "");
    host.file("run/ublk-bridge/3.journal.new", "");
    host.file("run/ublk-bridge/30.journal", "");
    files.remove();
    try (Stream<Path> left = Files.list(root.resolve("run/ublk-bridge"))) {
      assertEquals(List.of("30.journal"), left.map(path -> path.getFileName().toString()).toList());
    }
  }
}
