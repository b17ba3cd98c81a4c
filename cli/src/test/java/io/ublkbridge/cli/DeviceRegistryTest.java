package io.ublkbridge.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.cli.DeviceRegistry.Health;
import io.ublkbridge.cli.ProcessTable.Identity;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DeviceRegistryTest {
  @TempDir Path root;
  private FakeHost host;
  private DeviceRegistry registry;

  @BeforeEach
  void able() throws IOException {
    host = FakeHost.able(root);
    registry = host.registry();
  }

  @Test
  void isEmptyBeforeTheFirstDevice() {
    assertEquals(List.of(), registry.all());
  }

  @Test
  void readsWhatItWrote() throws IOException {
    DeviceRecord record = host.device(3, "vol", "nbd://h/vol", 77);

    assertEquals(Optional.of(record), registry.byId(3));
    assertTrue(Files.readString(registry.stateFile(3)).startsWith("{\"version\":1,"));
    assertEquals(List.of(Path.of("3.json"), Path.of("ublkb3.env")), names(host.host().run()));
    assertEquals(
        "UBLK_BRIDGE_NAME=" + record.name() + "\n",
        Files.readString(host.host().run().resolve("ublkb3.env")));
  }

  @Test
  void ordersByIdAndSkipsWhatIsNotOurs() throws IOException {
    host.device(10, "b", "null:1G", 1);
    host.device(9, "a", "null:1G", 1);
    host.file("run/ublk-bridge/8.json", "{\"version\":2}");
    host.file("run/ublk-bridge/7.json", "not JSON");
    host.file("run/ublk-bridge/x.json", "{}");

    assertEquals(List.of(9, 10), registry.all().stream().map(DeviceRecord::id).toList());
  }

  @ParameterizedTest
  @ValueSource(strings = {"vol", "/dev/ublkb3", "ublkb3", "3"})
  void findsByNameAndByEveryFormOfTheDevice(String text) throws IOException {
    DeviceRecord record = host.device(3, "vol", "nbd://h/vol", 77);

    assertEquals(Optional.of(record), registry.find(text));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"vo", "/dev/ublkb4", "/dev/ublkc3", "ublkb3p1", "99999999", "", "/dev/sda"})
  void findsNothingElse(String text) throws IOException {
    host.device(3, "vol", "nbd://h/vol", 77);

    assertEquals(Optional.empty(), registry.find(text));
  }

  @Test
  void aNameWinsOverANumber() throws IOException {
    host.device(3, "4", "nbd://h/a", 77);
    host.device(4, "b", "nbd://h/b", 77);

    assertEquals(3, registry.find("4").orElseThrow().id());
  }

  @Test
  void prefersTheLivingOfTwoWithOneName() throws IOException {
    host.device(0, "vol", "nbd://h/vol", 77);
    host.liveDevice(1, "vol", "nbd://h/vol");

    assertEquals(1, registry.named("vol").orElseThrow().id());
  }

  @Test
  void tellsLiveFromChangingFromDead() throws IOException {
    assertEquals(Health.LIVE, registry.health(host.liveDevice(0, "a", "null:1G")));
    host.process(77, "java");
    assertEquals(Health.CHANGING, registry.health(host.device(1, "b", "null:1G", 77)));
    assertEquals(Health.DEAD, registry.health(host.device(2, "c", "null:1G", 78)));
  }

  @Test
  void tellsWhatWaitsForAServerFromWhatEndedWithIt() throws IOException {
    DeviceRecord lost = host.lostDevice(3, "d", "file:/disk");
    assertEquals(Health.LOST, registry.health(lost));
    assertEquals(Optional.of(lost), registry.byId(3));
    host.process(88, "java");
    DeviceRecord claimed = lost.claimedBy(new Identity(88, FakeHost.START_TICKS), "/log");
    registry.write(claimed);
    assertEquals(Optional.of(claimed), registry.byId(3));
    assertEquals(Health.RECOVERING, registry.health(claimed));
    assertEquals(Health.LIVE, registry.health(claimed.recovered(true, false)));
    assertEquals(1, Objects.requireNonNull(claimed.recovered(true, false).recovery()).count());
    Files.delete(root.resolve("sys/block/ublkb3/dev"));
    Files.delete(root.resolve("sys/block/ublkb3"));
    assertEquals(Health.DEAD, registry.health(lost), "the kernel has no such disk any more");
    host.file("sys/block/ublkb4/dev", "259:4\n");
    DeviceRecord mortal = host.device(4, "e", "memory:1G", 78);
    assertEquals(Health.DEAD, registry.health(mortal), "its disk is about to go");
  }

  @Test
  void aBarStaysUntilItIsTakenBack() throws IOException {
    DeviceRecord lost = host.lostDevice(3, "d", "file:/disk");
    registry.bar(3, "it is gone");
    assertEquals(lost.barred("it is gone"), registry.byId(3).orElseThrow());
    registry.bar(3, null);
    assertEquals(lost, registry.byId(3).orElseThrow());
    registry.bar(4, "nothing there");
    assertEquals(Optional.empty(), registry.byId(4));
  }

  @Test
  void aStateFileOfAnOlderReleaseIsRead() throws IOException {
    DeviceRecord record = host.device(3, "vol", "nbd://h/vol", 77);
    Path file = registry.stateFile(3);
    Files.writeString(file, Files.readString(file).replace(",\"recovers\":false", ""));
    assertEquals(Optional.of(record), registry.byId(3));
  }

  @Test
  void isNotFooledByAReusedPidOrAZombie() throws IOException {
    DeviceRecord record = host.device(2, "c", "null:1G", 78);
    host.file("proc/78/stat", FakeHost.stat(78, "a) b (c", "S", FakeHost.START_TICKS));
    assertTrue(registry.serverAlive(record));
    host.file("proc/78/stat", FakeHost.stat(78, "java", "S", FakeHost.START_TICKS + 1));
    assertFalse(registry.serverAlive(record));
    host.file("proc/78/stat", FakeHost.stat(78, "java", "Z", FakeHost.START_TICKS));
    assertFalse(registry.serverAlive(record));
  }

  @Test
  void removesOnlyTheFilesOfTheSameServer() throws IOException {
    DeviceRecord old = host.device(0, "a", "null:1G", 77);
    DeviceRecord present = host.device(0, "a", "null:1G", 78);
    host.file("run/ublk-bridge/0.sock", "");

    registry.remove(old);
    assertEquals(3, names(host.host().run()).size());
    registry.remove(present);
    assertEquals(List.of(), names(host.host().run()));
  }

  private static List<Path> names(Path directory) throws IOException {
    try (var files = Files.list(directory)) {
      return files.map(Path::getFileName).sorted().toList();
    }
  }
}
