package io.ublkbridge.cli;

import io.ublkbridge.device.DeviceOptions;
import io.ublkbridge.kernel.Deadline;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// The demo, step by step; whatever happens, nothing of it is left afterwards.
final class Demo implements AutoCloseable {
  private static final Duration ATTACH_TIMEOUT = Duration.ofMinutes(3);
  private static final int WRITTEN_BYTES = 8 << 20;
  private static final int STEPS = 8;

  /// A step of the demo; says in a few words what came of it.
  private interface Step {
    String run() throws CommandFailure, IOException;
  }

  private final Answer answer;
  private final Host host;
  private final Path directory;
  private final Table times = new Table("STEP", ">SECONDS", "RESULT");
  private final Thread undo = new Thread(this::clear, "undo");
  private int steps;
  private @Nullable Process server;
  private @Nullable String device;
  private boolean mounted;

  Demo(Answer answer, Host host) throws CommandFailure {
    this.answer = answer;
    this.host = host;
    try {
      directory = Files.createTempDirectory("ublk-bridge-demo");
    } catch (IOException e) {
      throw new CommandFailure(
          ExitCode.FAILURE, "the demo has no room: " + e.getMessage(), "is /tmp writable?", e);
    }
    Runtime.getRuntime().addShutdownHook(undo);
  }

  void run() throws CommandFailure {
    step("make a 256 MiB ext4 image", this::makeImage);
    step("serve it with nbdkit", this::serve);
    step("attach it", this::attach);
    step("mount it", this::mount);
    step("check every file's SHA-256", this::verify);
    step("write 8 MiB and fsync", this::write);
    step("unmount and detach", this::detach);
    step("check the server's image", this::checkImage);
    answer.line("The demo is done:");
    times.lines().forEach(line -> answer.line("  " + line));
  }

  private void step(String what, Step step) throws CommandFailure {
    steps++;
    answer.note("demo: " + steps + "/" + STEPS + " " + what);
    Duration hour = Duration.ofHours(1);
    Deadline clock = Deadline.after(hour);
    try {
      String result = step.run();
      long millis = hour.minus(clock.remaining()).toMillis();
      times.row(what, "%d.%d".formatted(millis / 1000, millis % 1000 / 100), result);
    } catch (IOException e) {
      throw new CommandFailure(
          ExitCode.FAILURE, "the demo failed to " + what + ": " + e.getMessage(), null, e);
    } catch (CommandFailure failure) {
      throw new CommandFailure(
          ExitCode.FAILURE,
          "the demo failed to " + what + ": " + failure.message(),
          failure.remedy(),
          failure);
    }
  }

  private Path image() {
    return directory.resolve("disk.img");
  }

  private Path socket() {
    return directory.resolve("nbd.sock");
  }

  private Path mountPoint() {
    return directory.resolve("mnt");
  }

  private Path manifest() {
    return directory.resolve("manifest");
  }

  private String makeImage() throws CommandFailure, IOException {
    Path tree = Files.createDirectory(directory.resolve("tree"));
    DemoTree chosen = DemoTree.choose(host.root());
    List<String> copy = new ArrayList<>(List.of("cp", "--archive", "--parents"));
    chosen.roots().forEach(root -> copy.add(root.toString()));
    copy.add(tree.toString());
    Tool.run(directory, copy.toArray(String[]::new));
    Tool.run(
        tree,
        "sh",
        "-c",
        "find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum >" + manifest());
    Tool.run(directory, "mke2fs", "-q", "-t", "ext4", "-d", tree.toString(), "disk.img", "256M");
    Tool.run(directory, "rm", "-rf", tree.toString());
    return "%d files, %d MiB".formatted(chosen.files(), chosen.bytes() >> 20);
  }

  private String serve() throws CommandFailure {
    server =
        Tool.start(
            directory,
            "nbdkit",
            "--foreground",
            "--exit-with-parent",
            "--unix",
            socket().toString(),
            "file",
            image().toString());
    Deadline deadline = Deadline.after(Duration.ofSeconds(30));
    while (!Files.exists(socket())) {
      if (!server.isAlive() || !deadline.pause()) {
        throw new CommandFailure(
            ExitCode.FAILURE, "nbdkit does not start", "run it yourself: nbdkit file IMAGE");
      }
    }
    return uri();
  }

  private String uri() {
    return "nbd+unix:///?socket=" + socket();
  }

  private String attach() throws CommandFailure {
    AttachRequest request =
        new AttachRequest(uri(), null, DeviceOptions.defaults(), Map.of(), ATTACH_TIMEOUT, false);
    device = new Attachment(host, request, DaemonProcess::start).attach();
    return device;
  }

  private String mount() throws CommandFailure, IOException {
    Files.createDirectory(mountPoint());
    Tool.run(directory, "mount", String.valueOf(device), mountPoint().toString());
    mounted = true;
    return Tool.run(directory, "findmnt", "-n", "-o", "SOURCE,FSTYPE", mountPoint().toString())
        .replaceAll("\\s+", " ");
  }

  private String verify() throws CommandFailure, IOException {
    Tool.run(mountPoint(), "sha256sum", "--check", "--quiet", "--strict", manifest().toString());
    return Files.readAllLines(manifest()).size() + " files are as they were";
  }

  private String write() throws CommandFailure, IOException {
    Path written = mountPoint().resolve("written-by-the-demo");
    ByteBuffer content = ByteBuffer.allocate(WRITTEN_BYTES);
    for (int i = 0; content.hasRemaining(); i++) {
      content.putLong(i * 0x9e3779b97f4a7c15L);
    }
    content.flip();
    Files.write(directory.resolve("written"), content.array());
    try (FileChannel file =
        FileChannel.open(written, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
      while (content.hasRemaining()) {
        file.write(content);
      }
      file.force(true);
    }
    return written.getFileName().toString();
  }

  private String detach() throws CommandFailure {
    Tool.run(directory, "umount", mountPoint().toString());
    mounted = false;
    DeviceRecord record =
        new DeviceRegistry(host)
            .find(String.valueOf(device))
            .orElseThrow(() -> DeviceRegistry.noSuchDevice(String.valueOf(device)));
    new Detachment(host, record, false).detach();
    String gone = device + " is gone";
    device = null;
    return gone;
  }

  private String checkImage() throws CommandFailure {
    stopServer();
    Tool.run(directory, "e2fsck", "-fn", "disk.img");
    Tool.run(
        directory, "debugfs", "-R", "dump /written-by-the-demo " + directory + "/back", "disk.img");
    Tool.run(directory, "cmp", "back", "written");
    return "e2fsck finds no fault; what was written is there";
  }

  private void stopServer() {
    if (server != null) {
      server.destroy();
      server.onExit().join();
      server = null;
    }
  }

  @Override
  public void close() {
    clear();
    Runtime.getRuntime().removeShutdownHook(undo);
  }

  /// Takes everything back that is still there; also runs when the demo is interrupted.
  private synchronized void clear() {
    try {
      if (mounted) {
        Tool.run(Path.of("/"), "umount", "--lazy", mountPoint().toString());
        mounted = false;
      }
      if (device != null) {
        var record = new DeviceRegistry(host).find(device);
        device = null;
        if (record.isPresent()) {
          new Detachment(host, record.get(), true).detach();
        }
      }
      stopServer();
      Tool.run(Path.of("/"), "rm", "-rf", "--one-file-system", directory.toString());
    } catch (CommandFailure failure) {
      answer.failure(failure, false);
    }
  }
}
