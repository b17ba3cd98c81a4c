package io.ublkbridge.it;

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

/// A real NBD server, serving one file on a socket of its own; killed when closed.
final class NbdServer implements AutoCloseable {
  private static final Duration START_DEADLINE = Duration.ofMinutes(1);

  /// The servers that everything must work with.
  enum Kind {
    NBDKIT,
    QEMU_NBD,
    NBD_SERVER
  }

  private final Process process;
  private final String uri;

  private NbdServer(Process process, String uri) {
    this.process = process;
    this.uri = uri;
  }

  /// Serves a file, writable, with all that the server can do.
  static NbdServer serve(Kind kind, Path image) {
    return switch (kind) {
      case NBDKIT -> nbdkit("file", image.toString());
      case QEMU_NBD -> {
        Path socket = socketBeside(image);
        yield start(
            List.of(
                "qemu-nbd",
                "-f",
                "raw",
                "-t",
                "-e",
                "8",
                "--discard=unmap",
                "--cache=writeback",
                "-k",
                socket.toString(),
                image.toString()),
            UnixDomainSocketAddress.of(socket),
            "nbd+unix:///?socket=" + socket);
      }
      case NBD_SERVER -> nbdServer(image);
    };
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
    int port = freePort();
    List<String> command =
        new ArrayList<>(List.of("nbdkit", "-f", "-i", "127.0.0.1", "-p", Integer.toString(port)));
    command.addAll(List.of(arguments));
    return start(
        command,
        new InetSocketAddress(InetAddress.getLoopbackAddress(), port),
        "nbd://127.0.0.1:" + port + "/");
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

  private static Path socketBeside(Path image) {
    return image.resolveSibling(image.getFileName() + ".socket");
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
    try {
      Process process =
          new ProcessBuilder(command)
              .redirectErrorStream(true)
              .redirectOutput(Path.of("/dev/null").toFile())
              .start();
      NbdServer server = new NbdServer(process, uri);
      Instant deadline = Instant.now().plus(START_DEADLINE);
      while (!answers(address)) {
        if (!process.isAlive() || Instant.now().isAfter(deadline)) {
          server.close();
          throw new AssertionError(String.join(" ", command) + " does not serve");
        }
        LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(20));
      }
      return server;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
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
