package io.ublkbridge.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ControlSocketTest {
  @TempDir Path directory;
  private final AtomicInteger stops = new AtomicInteger();
  private Path path;
  private ControlSocket socket;

  @BeforeEach
  void open() throws IOException {
    path = directory.resolve("0.sock");
    Files.writeString(path, "left by a server that died");
    socket = ControlSocket.open(path, new CannedReplies(Map.of("errors", 3L), stops));
  }

  @AfterEach
  void close() {
    socket.close();
  }

  @Test
  void answersStatus() throws IOException {
    assertEquals(3, new ServerConnection(path).status().number("errors"));
    assertEquals(1, new ServerConnection(path).status().number("version"));
  }

  @Test
  void passesOnStop() throws IOException {
    new ServerConnection(path).expectStop();

    assertEquals(1, stops.get());
  }

  @Test
  void isForRootOnly() throws IOException {
    assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(path)));
  }

  @Test
  void leavesNoFile() {
    socket.close();

    assertFalse(Files.exists(path));
    IOException refused =
        assertThrows(IOException.class, () -> new ServerConnection(path).status());
    assertTrue(String.valueOf(refused.getMessage()).startsWith("the server cannot be asked"));
  }
}
