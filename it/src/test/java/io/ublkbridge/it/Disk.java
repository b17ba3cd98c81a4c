package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// A disk attached for a test; detached when closed.
///
/// @param path its node
record Disk(Path path) implements AutoCloseable {

  /// Attaches, and expects the disk to be usable at once.
  static Disk attach(String uri, String... options) {
    List<String> command = new ArrayList<>(List.of("ublk-bridge", "attach", uri));
    command.addAll(List.of(options));
    Command attached = Command.run(command).succeeded();
    assertTrue(
        attached.output().matches("/dev/ublkb\\d+\n"),
        () -> "standard output is the device path alone, not: " + attached.output());
    Path path = Path.of(attached.output().strip());
    assertEquals(
        "block special file", Command.shell("stat -c %F " + path), "the node is there at once");
    return new Disk(path);
  }

  /// `ublkbN`.
  String name() {
    return path.getFileName().toString();
  }

  /// A value of the disk's queue as the kernel has it.
  String queue(String attribute) {
    return Command.shell("cat /sys/block/" + name() + "/queue/" + attribute);
  }

  long sizeBytes() {
    return Long.parseLong(Command.shell("blockdev --getsize64 " + path));
  }

  Disk mount(Path directory) {
    Command.run("mount", path.toString(), directory.toString()).succeeded();
    return this;
  }

  @Override
  public void close() {
    Command.ublkBridge("detach", path.toString()).succeeded();
    assertTrue(Files.notExists(path), () -> path + " is gone when detach returns");
  }
}
