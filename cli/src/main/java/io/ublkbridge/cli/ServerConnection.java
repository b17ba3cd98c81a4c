package io.ublkbridge.cli;

import io.ublkbridge.cli.ProcessTable.Identity;
import java.io.BufferedReader;
import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/// Asks a server through its control socket. A server that does not answer in time counts as one
/// that cannot be asked.
record ServerConnection(Path socket) {
  private static final Duration PATIENCE = Duration.ofSeconds(20);

  JsonObject status() throws IOException {
    return status(PATIENCE);
  }

  JsonObject status(Duration patience) throws IOException {
    return ask(ControlSocket.STATUS, patience);
  }

  /// The status with all that is known of times ([OperationFigures]).
  JsonObject metrics(Duration patience) throws IOException {
    return ask(ControlSocket.METRICS, patience);
  }

  /// The server is told that its device is about to be stopped by this process.
  void expectStop() throws IOException {
    ask(ControlSocket.EXPECT_STOP, PATIENCE);
  }

  /// The server begins to stop if nobody has the disk open.
  ///
  /// @return false if somebody has; nothing has changed then
  boolean stopUnlessOpen(Duration patience) throws IOException {
    return ask(ControlSocket.STOP_UNLESS_OPEN, patience).truth("stopping");
  }

  /// Asks the server to hand its device over and to end.
  ///
  /// @param patience of the server's too: until then nothing was handed over
  /// @throws IOException also if it has done so, since it ends without an answer
  void handOver(Identity successor, Duration patience) throws IOException {
    Map<String, Object> request = new LinkedHashMap<>();
    request.put("do", ControlSocket.HAND_OVER);
    request.put("pid", successor.pid());
    request.put("pidStartTicks", successor.startTicks());
    ask(request, patience);
  }

  /// Asks the server to give the disk the size of its target.
  ///
  /// @param force also if that has shrunk
  /// @return `was` and `size`, in bytes
  /// @throws ServerRefusal if it does not
  JsonObject resize(boolean force, Duration patience) throws IOException {
    return ask(Map.of("do", ControlSocket.RESIZE, "force", force), patience);
  }

  private JsonObject ask(String verb, Duration patience) throws IOException {
    return ask(Map.of("do", verb), patience);
  }

  private JsonObject ask(Map<String, Object> request, Duration patience) throws IOException {
    CompletableFuture<JsonObject> answer = new CompletableFuture<>();
    // A thread of its own, since a channel of this kind has no timeouts.
    Thread.ofPlatform()
        .daemon()
        .start(() -> {
          try {
            answer.complete(exchange(request));
          } catch (IOException | RuntimeException e) {
            answer.completeExceptionally(e);
          }
        });
    try {
      JsonObject got = answer.get(patience.toMillis(), TimeUnit.MILLISECONDS);
      if (got.has("exitCode")) {
        throw new ServerRefusal(
            new CommandFailure(
                ExitCode.valueOf(got.text("exitCode")),
                got.text("error"),
                got.textOrNull("remedy")));
      }
      if (got.has("error")) {
        throw new IOException(got.text("error"));
      }
      return got;
    } catch (TimeoutException e) {
      throw new IOException("the server does not answer", e);
    } catch (ExecutionException e) {
      throw new IOException("the server cannot be asked: " + Causes.message(e), e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted", e);
    }
  }

  private JsonObject exchange(Map<String, Object> request) throws IOException {
    try (SocketChannel channel = SocketChannel.open(UnixDomainSocketAddress.of(socket));
        BufferedReader answers =
            new BufferedReader(Channels.newReader(channel, StandardCharsets.UTF_8))) {
      channel.write(StandardCharsets.UTF_8.encode(Json.write(request) + "\n"));
      String line = answers.readLine();
      if (line == null) {
        throw new IOException("it closed the connection");
      }
      return JsonObject.parse(line);
    }
  }
}
