package io.ublkbridge.cli;

import io.ublkbridge.cli.ProcessTable.Identity;
import java.io.BufferedReader;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.LinkedHashMap;
import java.util.Map;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// `/run/ublk-bridge/N.sock`: where a server is asked for its status, its metrics, to stop or to
/// hand its device over. A request is one line of JSON, `{"do":"status"}`, and so is the answer.
///
/// Runs on threads of its own, never on an event loop; those who may connect are root.
final class ControlSocket implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(ControlSocket.class);

  static final String STATUS = "status";
  static final String METRICS = "metrics";
  static final String EXPECT_STOP = "expect-stop";
  static final String STOP_UNLESS_OPEN = "stop-unless-open";
  static final String RESIZE = "resize";
  static final String HAND_OVER = "hand-over";

  private final Path path;
  private final ServerSocketChannel server;
  private final Replies replies;

  /// What the server says and does when it is asked, on any thread.
  interface Replies {
    Map<String, Object> status();

    /// The status with all that is known of times.
    Map<String, Object> metrics();

    /// Whoever asks is about to stop the device: nothing may hold that up for long, and this server
    /// ends with it.
    void expectStop();

    /// Begins to stop if nobody has the disk open, as far as the kernel can tell.
    ///
    /// @return false if somebody has
    boolean stopUnlessOpen();

    /// Gives the disk the size that its target has by now.
    ///
    /// @param force also if that has shrunk
    /// @return what it was, `was`, and what it is, `size`, in bytes
    /// @throws CommandFailure if it cannot
    Map<String, Object> resize(boolean force) throws CommandFailure;

    /// Hands the device over to another process and ends this one, so that it does not return.
    ///
    /// @throws CommandFailure if it cannot; the device is served as before
    void handOver(Identity successor) throws CommandFailure;
  }

  private ControlSocket(Path path, ServerSocketChannel server, Replies replies) {
    this.path = path;
    this.server = server;
    this.replies = replies;
  }

  static ControlSocket open(Path path, Replies replies) throws IOException {
    Files.deleteIfExists(path);
    ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
    try {
      server.bind(UnixDomainSocketAddress.of(path));
      Files.setPosixFilePermissions(path, PosixFilePermissions.fromString("rw-------"));
    } catch (IOException e) {
      server.close();
      throw e;
    }
    ControlSocket socket = new ControlSocket(path, server, replies);
    Thread.ofPlatform().daemon().name("control-socket").start(socket::accept);
    return socket;
  }

  private void accept() {
    while (server.isOpen()) {
      try {
        SocketChannel client = server.accept();
        Thread.ofPlatform().daemon().name("control-client").start(() -> serve(client));
      } catch (IOException e) {
        if (server.isOpen()) {
          log.error("{} takes no more requests", path, e);
        }
        return;
      }
    }
  }

  private void serve(SocketChannel client) {
    try (client;
        BufferedReader requests =
            new BufferedReader(Channels.newReader(client, StandardCharsets.UTF_8))) {
      for (String line = requests.readLine(); line != null; line = requests.readLine()) {
        String answer = Json.write(answer(line)) + "\n";
        client.write(StandardCharsets.UTF_8.encode(answer));
      }
    } catch (IOException e) {
      log.debug("a client of {} went away", path, e);
    }
  }

  private Map<String, Object> answer(String line) {
    Map<String, Object> answer = new LinkedHashMap<>();
    answer.put("version", DeviceRecord.VERSION);
    try {
      JsonObject request = JsonObject.parse(line);
      String verb = request.text("do");
      switch (verb) {
        case STATUS -> answer.putAll(replies.status());
        case METRICS -> answer.putAll(replies.metrics());
        case EXPECT_STOP -> replies.expectStop();
        case STOP_UNLESS_OPEN -> answer.put("stopping", replies.stopUnlessOpen());
        case RESIZE -> answer.putAll(replies.resize(request.truth("force")));
        case HAND_OVER ->
            replies.handOver(new Identity(request.number("pid"), request.number("pidStartTicks")));
        default -> answer.put("error", "cannot do '" + verb + "'");
      }
    } catch (CommandFailure e) {
      answer.put("error", e.message());
      answer.put("exitCode", e.exitCode().name());
      if (e.remedy() != null) {
        answer.put("remedy", e.remedy());
      }
    } catch (IOException | RuntimeException e) {
      answer.put("error", String.valueOf(e.getMessage()));
    }
    return answer;
  }

  @Override
  public void close() {
    try {
      server.close();
      Files.deleteIfExists(path);
    } catch (IOException e) {
      log.warn("cannot close {}", path, e);
    }
  }
}
