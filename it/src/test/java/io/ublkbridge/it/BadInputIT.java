package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/// Wrong input gets the right exit code and one clear error, and leaves nothing behind.
@Tag("linux-6.12")
@ExtendWith(NothingLeftBehind.class)
final class BadInputIT {
  @TempDir Path dir;

  /// The error of an attach that must fail with a status and leave standard output empty.
  private static String refusal(int status, String uri, String... options) {
    List<String> command = new ArrayList<>(List.of("attach", uri));
    command.addAll(List.of(options));
    Command refused = Command.ublkBridge(command.toArray(String[]::new)).exited(status);
    assertEquals("", refused.output());
    assertTrue(
        refused.errors().startsWith("ublk-bridge: ") && refused.errors().lines().count() <= 2,
        refused.errors());
    return refused.errors();
  }

  @Test
  void unreachableServer() {
    String error = refusal(7, "nbd://127.0.0.1:" + NbdServer.freePort() + "/");
    assertTrue(error.contains("refused"), error);
  }

  @Test
  void portThatSpeaksNoNbd() throws IOException {
    try (ServerSocket mute = new ServerSocket(0, 8, InetAddress.getLoopbackAddress())) {
      Thread.ofVirtual()
          .start(() -> {
            try (var connection = mute.accept()) {
              connection
                  .getOutputStream()
                  .write("SSH-2.0-OpenSSH_9.2p1 Debian\r\n".getBytes(StandardCharsets.US_ASCII));
              connection.getInputStream().transferTo(OutputStream.nullOutputStream());
            } catch (IOException closed) {
              // The client hung up, as it should.
            }
          });
      String error = refusal(7, "nbd://127.0.0.1:" + mute.getLocalPort() + "/");
      assertTrue(error.contains("NBD"), error);
    }
  }

  @Test
  void unknownExport() {
    Path image = dir.resolve("disk.img");
    Command.shell("truncate -s 16M " + image);
    try (NbdServer server = NbdServer.serve(NbdServer.Kind.NBD_SERVER, image)) {
      String error = refusal(1, server.uri().replace("/disk", "/dsik"));
      assertTrue(error.contains("dsik"), error);
    }
  }

  @Test
  void misspeltUriParameter() {
    String error = refusal(2, "nbd+unix:///?sockt=/tmp/x");
    assertTrue(error.contains("sockt"), error);
  }

  @Test
  void portOutOfRange() {
    assertTrue(refusal(2, "nbd://host:99999/").contains("99999"));
  }

  @Test
  void queuesAndDepthOutOfRange() {
    assertTrue(refusal(2, "memory:16M", "--queues", "0").contains("0"));
    assertTrue(refusal(2, "memory:16M", "--depth", "5000").contains("5000"));
  }

  @Test
  void idThatIsTaken() {
    try (Disk disk = Disk.attach("memory:16M", "--id", "7", "--name", "seven")) {
      String error = refusal(5, "memory:32M", "--id", "7", "--name", "other");
      assertTrue(error.contains("7"), error + disk);
    }
  }

  @Test
  void withoutPermission() {
    Command refused =
        Command.run(
            "setpriv", "--reuid=65534", "--clear-groups", "ublk-bridge", "attach", "memory:16M");
    refused.exited(6);
    assertTrue(
        refused.errors().contains("root") || refused.errors().contains("permission"),
        refused.errors());
  }

  @Test
  void unknownDevice() {
    Command.ublkBridge("detach", "nowhere").exited(3);
    Command.ublkBridge("detach", "/dev/ublkb99").exited(3);
    Command.ublkBridge("status", "nowhere").exited(3);
  }

  @Test
  void missingFile() {
    assertTrue(refusal(1, "file:/nowhere/disk.img").contains("/nowhere/disk.img"));
  }
}
