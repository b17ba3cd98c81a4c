package io.ublkbridge.cli;

import io.ublkbridge.cli.DeviceRecord.Disk;
import io.ublkbridge.cli.ProcessTable.Identity;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Map;

/// A machine made of files: what `/proc`, `/sys`, `/dev` and `/run` would say.
record FakeHost(Path root) {
  static final long START_TICKS = 4711;
  static final String ALL_CAPABILITIES = "000001ffffffffff";

  /// A host that can serve devices.
  static FakeHost able(Path root) throws IOException {
    FakeHost host = new FakeHost(root);
    host.file("proc/sys/kernel/osrelease", "6.12.1-test\n");
    host.file("proc/self/status", "Name:\tx\nCapEff:\t" + ALL_CAPABILITIES + "\n");
    host.file("dev/ublk-control", "");
    return host;
  }

  Host host() {
    return new Host(root);
  }

  DeviceRegistry registry() {
    return new DeviceRegistry(host());
  }

  Path file(String name, String content) throws IOException {
    Path file = root.resolve(name);
    Files.createDirectories(file.getParent());
    return Files.writeString(file, content);
  }

  void link(String name, String target) throws IOException {
    Path link = root.resolve(name);
    Files.createDirectories(link.getParent());
    Files.deleteIfExists(link);
    Files.createSymbolicLink(link, Path.of(target));
  }

  /// A running process.
  void process(long pid, String name) throws IOException {
    file("proc/" + pid + "/comm", name + "\n");
    file("proc/" + pid + "/stat", stat(pid, name, "S", START_TICKS));
  }

  static String stat(long pid, String name, String state, long startTicks) {
    return pid
        + " ("
        + name
        + ") "
        + state
        + " 1 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 9 0 "
        + startTicks
        + " 0 0\n";
  }

  /// A device of 64M with a state file; its server runs if there is such a process.
  DeviceRecord device(int id, String name, String source, long pid) throws IOException {
    DeviceRecord record =
        new DeviceRecord(
            id,
            name,
            source,
            new Identity(pid, START_TICKS),
            Instant.EPOCH,
            "/var/log/ublk-bridge/" + id + ".log",
            Map.of("connections", "2"),
            new Disk(64 << 20, 512, 512 << 10, 2, 128, false),
            null);
    registry().write(record);
    return record;
  }

  /// A device whose server is gone, and whose disk waits for another one.
  DeviceRecord lostDevice(int id, String name, String source) throws IOException {
    DeviceRecord mortal = device(id, name, source, 77_000 + id);
    file("sys/block/ublkb" + id + "/dev", "259:" + id + "\n");
    file("dev/ublkb" + id, "");
    DeviceRecord lost =
        mortal.with(
            new Disk(64 << 20, 512, 512 << 10, 2, 128, false),
            new DeviceRecord.Recovery(4711, "the disk", false));
    registry().write(lost);
    return lost;
  }

  /// The same with a living server and a disk.
  DeviceRecord liveDevice(int id, String name, String source) throws IOException {
    process(1000 + id, "java");
    file("sys/block/ublkb" + id + "/dev", "259:" + id + "\n");
    file("dev/ublkb" + id, "");
    return device(id, name, source, 1000 + id);
  }
}
