package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// A disk that a test uses; gone when closed.
///
/// Either the command attaches it, and a server process of its own serves it, or it is served from
/// this very process: the same device, queue and target code without the start of a JVM, which
/// takes many seconds in an emulator.
interface Disk extends AutoCloseable {
  /// Its node.
  Path path();

  @Override
  void close();

  /// Attaches with the command, and expects the disk to be usable at once.
  static Disk attach(String uri, String... options) {
    // As long as it takes in an emulator on a busy host.
    List<String> command = new ArrayList<>(List.of("attach", uri, "--timeout", "4m"));
    command.addAll(List.of(options));
    Command attached = Command.ublkBridge(command.toArray(String[]::new)).succeeded();
    assertTrue(
        attached.output().matches("/dev/ublkb\\d+\n"),
        () -> "standard output is the device path alone, not: " + attached.output());
    Path path = Path.of(attached.output().strip());
    assertEquals(
        "block special file", Command.shell("stat -c %F " + path), "the node is there at once");
    return new Attached(path);
  }

  /// Serves from this process, with the kernel's defaults but for `changes`.
  static ServedDisk serve(String uri, ServedDisk.Option... changes) {
    return ServedDisk.serve(uri, changes);
  }

  /// `ublkbN`.
  default String name() {
    return path().getFileName().toString();
  }

  /// A value of the disk's queue as the kernel has it.
  default String queue(String attribute) {
    return Command.shell("cat /sys/block/" + name() + "/queue/" + attribute);
  }

  default int queueCount() {
    return Integer.parseInt(Command.shell("ls /sys/block/" + name() + "/mq | wc -l"));
  }

  default long sizeBytes() {
    return Long.parseLong(Command.shell("blockdev --getsize64 " + path()));
  }

  default void mount(Path directory, String... options) {
    List<String> command = new ArrayList<>(List.of("mount", path().toString()));
    command.addAll(List.of(options));
    command.add(directory.toString());
    Command.run(command).succeeded();
  }

  /// A disk that has a server process of its own.
  record Attached(Path path) implements Disk {
    @Override
    public void close() {
      Command detached = Command.ublkBridge("detach", path.toString());
      if (detached.status() != 0) {
        // The next tests are to find the host as this one did.
        Command.ublkBridge("detach", path.toString(), "--force");
      }
      detached.succeeded();
      assertTrue(Files.notExists(path), () -> path + " is gone when detach returns");
    }
  }
}
