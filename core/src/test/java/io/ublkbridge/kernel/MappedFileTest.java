package io.ublkbridge.kernel;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class MappedFileTest {
  @TempDir Path dir;

  @Test
  void whatOneStoresAnotherSees() throws IOException {
    Path path = dir.resolve("file");
    try (MappedFile file = MappedFile.create(path, 3 * 4096)) {
      assertEquals(0, blocks(path), "nothing has room yet");
      assertEquals(0, file.allocate(4096, 4096));
      assertEquals(8, blocks(path));
      file.memory().set(JAVA_BYTE, 5000, (byte) 42);
      assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(path)));
      assertThrows(FileAlreadyExistsException.class, () -> MappedFile.create(path, 4096));
    }
    try (MappedFile file = MappedFile.open(path)) {
      assertEquals(3 * 4096, file.memory().byteSize());
      assertEquals(42, file.memory().get(JAVA_BYTE, 5000));
      assertEquals(0, file.giveBack(4096, 4096));
      assertEquals(0, blocks(path));
      assertEquals(0, file.allocate(4096, 4096));
      assertEquals(0, file.memory().get(JAVA_BYTE, 5000));
    }
  }

  @Test
  void aClosedFileGivesNothing() throws IOException {
    MappedFile file = MappedFile.create(dir.resolve("file"), 4096);
    assertEquals(0, file.allocate(0, 4096));
    file.close();
    file.close();
    assertEquals(-9, file.allocate(0, 4096), "EBADF");
    file.memory().set(JAVA_BYTE, 0, (byte) 1);
  }

  @Test
  void whereNoFileCanBeNoneIsLeft() {
    assertThrows(IOException.class, () -> MappedFile.create(dir.resolve("none/file"), 4096));
    assertThrows(IOException.class, () -> MappedFile.open(dir.resolve("none")));
    assertFalse(Files.exists(dir.resolve("none")));
  }

  /// In units of 512 bytes.
  private static long blocks(Path path) throws IOException {
    try (var du = new ProcessBuilder("stat", "-c", "%b", path.toString()).start().inputReader()) {
      return Long.parseLong(du.readLine());
    }
  }
}
