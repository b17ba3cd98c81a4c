package io.ublkbridge.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.target.UringLoops;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class FileStatusTest {
  @AutoClose private final UringLoops loops = new UringLoops(1);

  @TempDir Path dir;

  private FileStatus status(Path file) {
    int fd = Posix.open(file.toString(), Posix.O_RDWR | Posix.O_CLOEXEC);
    try {
      return FileStatus.of(loops.next(), fd, Duration.ofSeconds(10)).orElseThrow();
    } finally {
      Posix.close(fd);
    }
  }

  @Test
  void agreesWithWhatJavaTells() throws Exception {
    Path file = Files.write(dir.resolve("a"), new byte[10_000]);
    FileStatus status = status(file);
    assertEquals(Files.getAttribute(file, "unix:ino"), status.inode());
    long device = (long) Files.getAttribute(file, "unix:dev");
    assertEquals(device & 0xFF, status.device() & 0xFF);
    assertTrue(status.allocatedBytes() >= 8192 || status.allocatedBytes() == 0);
  }

  @Test
  void aFileStaysItselfUntilItIsMadeAnew() throws Exception {
    Path file = Files.write(dir.resolve("a"), new byte[512]);
    String identity = status(file).identity();
    Files.write(file, new byte[4096]);
    Path moved = Files.move(file, dir.resolve("b"));
    assertEquals(identity, status(moved).identity());
    Files.copy(moved, file);
    assertNotEquals(identity, status(file).identity());
  }
}
