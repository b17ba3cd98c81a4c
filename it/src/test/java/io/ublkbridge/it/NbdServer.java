package io.ublkbridge.it;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.SocketAddress;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

/// A real NBD server, serving one file on a socket of its own; killed when closed, and started
/// again as often as a test likes.
final class NbdServer implements AutoCloseable {
  private static final Duration START_DEADLINE = Duration.ofMinutes(1);

  /// The servers that everything must work with.
  enum Kind {
    NBDKIT,
    QEMU_NBD,
    NBD_SERVER
  }

  private final List<String> command;
  private final Path socketOrPidFile;
  private final BooleanSupplier serves;
  private final String uri;
  private Process process;

  private NbdServer(
      List<String> command, Path socketOrPidFile, BooleanSupplier serves, String uri) {
    this.command = command;
    this.socketOrPidFile = socketOrPidFile;
    this.serves = serves;
    this.uri = uri;
    this.process = launch(command);
  }

  /// Serves a file, writable, with all that the server can do.
  static NbdServer serve(Kind kind, Path image) {
    return switch (kind) {
      case NBDKIT -> nbdkit("file", image.toString());
      case QEMU_NBD -> qemuNbd(image);
      case NBD_SERVER -> nbdServer(image);
    };
  }

  /// qemu-nbd with options of the test's choice, on a unix socket.
  static NbdServer qemuNbd(Path image, String... options) {
    Path socket = image.resolveSibling(image.getFileName() + ".socket");
    List<String> command =
        new ArrayList<>(List.of("qemu-nbd", "-f", "raw", "-t", "-e", "8", "--discard=unmap"));
    command.addAll(List.of("--cache=writeback", "-k", socket.toString()));
    command.addAll(List.of(options));
    command.add(image.toString());
    return start(command, UnixDomainSocketAddress.of(socket), "nbd+unix:///?socket=" + socket);
  }

  /// nbdkit with arguments of the test's choice, on a unix socket.
  static NbdServer nbdkit(String... arguments) {
    try {
      Path socket = Files.createTempDirectory("nbdkit").resolve("socket");
      List<String> command = new ArrayList<>(List.of("nbdkit", "-f", "-U", socket.toString()));
      command.addAll(List.of(arguments));
      return start(command, UnixDomainSocketAddress.of(socket), "nbd+unix:///?socket=" + socket);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /// nbdkit with arguments of the test's choice, on TCP.
  static NbdServer nbdkitOnTcp(String... arguments) {
    return nbdkitOnTcp("127.0.0.1", freePort(), arguments);
  }

  /// The same at an address of the test's choice.
  static NbdServer nbdkitOnTcp(String address, int port, String... arguments) {
    List<String> command =
        new ArrayList<>(List.of("nbdkit", "-f", "-i", address, "-p", Integer.toString(port)));
    command.addAll(List.of(arguments));
    return start(
        command, new InetSocketAddress(address, port), "nbd://" + address + ":" + port + "/");
  }

  /// Skips a test where no vsock leads back to this machine.
  static void assumeVsock() {
    assumeTrue(
        Command.run("modprobe", "vsock_loopback").status() == 0,
        "this kernel has no vsock that leads back to itself");
  }

  /// nbdkit on a vsock that leads back to this machine, on port 10809.
  static NbdServer nbdkitOnVsock(String... arguments) {
    try {
      Path pid = Files.createTempDirectory("nbdkit").resolve("pid");
      List<String> command =
          new ArrayList<>(List.of("nbdkit", "-f", "--vsock", "-P", pid.toString()));
      command.addAll(List.of(arguments));
      // It writes the file when it listens.
      return start(command, pid, () -> Files.exists(pid), "nbd+vsock://1/");
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static NbdServer nbdServer(Path image) {
    try {
      int port = freePort();
      Path config = image.resolveSibling("nbd-server.conf");
      Files.writeString(
          config,
          """
          [generic]
          listenaddr = 127.0.0.1
          port = %d
          allowlist = true
          [disk]
          exportname = %s
          flush = true
          fua = true
          trim = true
          """
              .formatted(port, image));
      return start(
          List.of("nbd-server", "-n", "-C", config.toString()),
          new InetSocketAddress(InetAddress.getLoopbackAddress(), port),
          "nbd://127.0.0.1:" + port + "/disk");
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  static int freePort() {
    try (ServerSocket probe = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      return probe.getLocalPort();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /// Starts a server, and waits until it listens.
  static NbdServer start(List<String> command, SocketAddress address, String uri) {
    Path file =
        address instanceof UnixDomainSocketAddress socket ? socket.getPath() : Path.of("none");
    return start(command, file, () -> answers(address), uri);
  }

  /// @param socketOrPidFile what the server makes and a crash leaves behind
  private static NbdServer start(
      List<String> command, Path socketOrPidFile, BooleanSupplier serves, String uri) {
    NbdServer server = new NbdServer(command, socketOrPidFile, serves, uri);
    server.awaitAnswer();
    return server;
  }

  private static Process launch(List<String> command) {
    try {
      return new ProcessBuilder(command)
          .redirectErrorStream(true)
          .redirectOutput(Path.of("/dev/null").toFile())
          .start();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private void awaitAnswer() {
    Instant deadline = Instant.now().plus(START_DEADLINE);
    while (!serves.getAsBoolean()) {
      if (!process.isAlive() || Instant.now().isAfter(deadline)) {
        close();
        throw new AssertionError(String.join(" ", command) + " does not serve");
      }
      LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(20));
    }
  }

  /// Starts the server again as it was, after [#kill].
  void restart() {
    try {
      Files.deleteIfExists(socketOrPidFile);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    process = launch(command);
    awaitAnswer();
  }

  private static boolean answers(SocketAddress address) {
    StandardProtocolFamily family =
        address instanceof UnixDomainSocketAddress
            ? StandardProtocolFamily.UNIX
            : StandardProtocolFamily.INET;
    try (SocketChannel channel = SocketChannel.open(family)) {
      return channel.connect(address);
    } catch (IOException notYet) {
      return false;
    }
  }

  String uri() {
    return uri;
  }

  /// Lets the server hang, until [#resume].
  void suspend() {
    Command.shell("kill -STOP " + process.pid());
  }

  void resume() {
    Command.shell("kill -CONT " + process.pid());
  }

  /// Kills the server as a crash would.
  void kill() {
    process.descendants().forEach(ProcessHandle::destroyForcibly);
    process.destroyForcibly().onExit().join();
  }

  @Override
  public void close() {
    kill();
  }
}
