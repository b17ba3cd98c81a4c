package io.ublkbridge.cache;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A lock belongs to an open file description, so that two directories in one process stand for two
/// processes.
final class TierDirectoryTest {
  private static final long MIB = 1 << 20;

  @TempDir private Path path = Path.of("");

  @Test
  void theSameContentsFindTheirFileAgain() throws IOException {
    Path first;
    try (TierFile file = directory(10).claim(identity("a"))) {
      first = file.path();
      assertNull(directory(10).grow(file, 3 * MIB));
    }
    try (TierFile file = directory(10).claim(identity("a"))) {
      assertEquals(first, file.path());
      assertEquals(3 * MIB, file.lengthBytes());
    }
    try (TierFile file = directory(10).claim(identity("b"))) {
      assertNotEquals(first, file.path());
      assertEquals(0, file.lengthBytes());
    }
  }

  @Test
  void aSecondProcessWithTheSameContentsHasAFileOfItsOwn() throws IOException {
    try (TierFile first = directory(10).claim(identity("a"));
        TierFile second = directory(10).claim(identity("a"))) {
      assertNotEquals(first.path(), second.path());
    }
    try (TierFile again = directory(10).claim(identity("a"))) {
      assertTrue(again.path().toString().endsWith("-0.tier"));
    }
  }

  @Test
  void attachedDisksShareTheRoomAndGetNoMore() throws IOException {
    try (TierFile a = directory(10).claim(identity("a"));
        TierFile b = directory(10).claim(identity("b"))) {
      assertNull(directory(10).grow(a, 7 * MIB));
      String obstacle = directory(10).grow(b, 4 * MIB);
      assertNotNull(obstacle);
      assertTrue(obstacle.startsWith("attached disks use all of the 10 MiB"), obstacle);
      assertEquals(0, b.lengthBytes());
      assertNull(directory(10).grow(b, 3 * MIB));
    }
    assertEquals(10 * MIB, totalBytes());
  }

  @Test
  void whatWasUsedLongestAgoMakesRoom() throws IOException {
    Path oldest = leave("oldest", 4, 1000);
    Path older = leave("older", 3, 2000);
    Path latest = leave("latest", 3, 3000);
    try (TierFile file = directory(10).claim(identity("new"))) {
      assertNull(directory(10).grow(file, MIB));
      assertEquals(3 * MIB, Files.size(oldest));
      assertEquals(1000, Files.getLastModifiedTime(oldest).toMillis(), "it is still the oldest");

      assertNull(directory(10).grow(file, 5 * MIB));
      assertFalse(Files.exists(oldest));
      assertEquals(2 * MIB, Files.size(older));
      assertEquals(3 * MIB, Files.size(latest));
    }
    assertEquals(10 * MIB, totalBytes());
  }

  @Test
  void useCountsAsUse() throws IOException {
    Path a = leave("a", 4, 1000);
    Path b = leave("b", 4, 2000);
    directory(10).claim(identity("a")).close();
    try (TierFile file = directory(10).claim(identity("new"))) {
      assertNull(directory(10).grow(file, 4 * MIB));
    }
    assertEquals(4 * MIB, Files.size(a));
    assertEquals(2 * MIB, Files.size(b));
  }

  @Test
  void aFileThatIsTooLongNowIsShortened() throws IOException {
    leave("a", 8, 1000);
    try (TierFile file = directory(5).claim(identity("a"))) {
      assertEquals(5 * MIB, file.lengthBytes());
    }
    try (TierFile other = directory(5).claim(identity("b"))) {
      assertNull(directory(5).grow(other, MIB));
      try (TierFile file = directory(5).claim(identity("a"))) {
        assertEquals(4 * MIB, file.lengthBytes());
      }
    }
  }

  @Test
  void aFileSystemIsNeverFilledUp() throws IOException {
    long everything = Files.getFileStore(path).getUsableSpace();
    TierDirectory directory = new TierDirectory(path, 2 * everything);
    try (TierFile file = directory.claim(identity("a"))) {
      String obstacle = directory.grow(file, everything - MIB);
      assertNotNull(obstacle);
      assertTrue(obstacle.endsWith("is all but full"), obstacle);
      assertEquals(0, file.lengthBytes());
    }
  }

  @Test
  void filesAreForTheirOwnerOnly() throws IOException {
    TierDirectory directory = new TierDirectory(path.resolve("new/er"), MIB);
    directory.create();
    assertEquals("rwx------", permissions(path.resolve("new/er")));
    try (TierFile file = directory.claim(identity("a"))) {
      assertEquals("rw-------", permissions(file.path()));
    }
  }

  @Test
  void whatIsNoDirectoryIsRefused() throws IOException {
    Path file = Files.createFile(path.resolve("file"));
    assertThrows(IOException.class, () -> new TierDirectory(file, MIB).create());
  }

  @Test
  void labelsSayWhatAFileIs() throws IOException {
    try (TierFile file = directory(10).claim(identity("s3://bucket/key"))) {
      file.label(identity("s3://bucket/key").label());
      String text = Files.readString(file.path());
      assertTrue(text.startsWith("ublk-bridge disk tier 1\ncontents: s3://bucket/key\n"), text);
      assertEquals(4096, file.lengthBytes());
    }
  }

  private TierDirectory directory(long mebibytes) {
    return new TierDirectory(path, mebibytes * MIB);
  }

  private static TierIdentity identity(String contents) {
    return new TierIdentity(contents, 1L << 30, 65536);
  }

  /// A file that nobody uses any more.
  private Path leave(String contents, long mebibytes, long lastUsedMillis) throws IOException {
    try (TierFile file = directory(100).claim(identity(contents))) {
      assertNull(directory(100).grow(file, mebibytes * MIB));
      Files.setLastModifiedTime(file.path(), FileTime.fromMillis(lastUsedMillis));
      return file.path();
    }
  }

  private long totalBytes() throws IOException {
    try (Stream<Path> files = Files.list(path)) {
      return files.mapToLong(file -> file.toFile().length()).sum();
    }
  }

  private static String permissions(Path file) throws IOException {
    return PosixFilePermissions.toString(Files.getPosixFilePermissions(file));
  }
}
