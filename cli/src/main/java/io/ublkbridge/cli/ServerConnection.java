package io.ublkbridge.cli;

import java.io.BufferedReader;
import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
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

  /// The server begins to stop; its end is to be watched from outside.
  void stop() throws IOException {
    ask(ControlSocket.STOP, PATIENCE);
  }

  private JsonObject ask(String verb, Duration patience) throws IOException {
    CompletableFuture<JsonObject> answer = new CompletableFuture<>();
    // A thread of its own, since a channel of this kind has no timeouts.
    Thread.ofPlatform()
        .daemon()
        .start(() -> {
          try {
            answer.complete(exchange(verb));
          } catch (IOException | RuntimeException e) {
            answer.completeExceptionally(e);
          }
        });
    try {
      JsonObject got = answer.get(patience.toMillis(), TimeUnit.MILLISECONDS);
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

  private JsonObject exchange(String verb) throws IOException {
    try (SocketChannel channel = SocketChannel.open(UnixDomainSocketAddress.of(socket));
        BufferedReader answers =
            new BufferedReader(Channels.newReader(channel, StandardCharsets.UTF_8))) {
      channel.write(StandardCharsets.UTF_8.encode(Json.write(Map.of("do", verb)) + "\n"));
      String line = answers.readLine();
      if (line == null) {
        throw new IOException("it closed the connection");
      }
      return JsonObject.parse(line);
    }
  }
}
