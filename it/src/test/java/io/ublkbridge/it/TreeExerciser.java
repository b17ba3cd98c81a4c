package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/// Makes, fills, renames, links and removes files and directories in an order that a seed gives,
/// and remembers what there must be. As `fsstress` does, which remembers nothing.
final class TreeExerciser {
  private static final int DIRECTORIES_MAX = 40;
  private static final int FILE_BYTES_MAX = 48 << 10;

  /// What all hard links to a file have in common.
  private static final class Contents {
    byte[] bytes = {};
  }

  private final Path root;
  private final SplittableRandom random;
  private final List<Path> directories = new ArrayList<>();
  private final TreeMap<Path, Contents> files = new TreeMap<>();
  private int names;

  TreeExerciser(Path root, long seed) throws IOException {
    this.root = root;
    this.random = new SplittableRandom(seed);
    Files.createDirectories(root);
    directories.add(root);
  }

  /// One more operation.
  void step() throws IOException {
    switch (random.nextInt(16)) {
      case 0, 1, 2, 3 -> create();
      case 4, 5, 6 -> rewrite();
      case 7, 8 -> rename();
      case 9 -> link();
      case 10, 11, 12 -> remove();
      case 13, 14 -> makeDirectory();
      default -> removeDirectory();
    }
  }

  /// There is all that there must be, with the right contents, and nothing else.
  void verify() throws IOException {
    TreeSet<Path> expected = new TreeSet<>(files.keySet());
    expected.addAll(directories);
    try (Stream<Path> found = Files.walk(root)) {
      assertEquals(expected, new TreeSet<>(found.toList()));
    }
    for (Path file : files.navigableKeySet()) {
      assertArrayEquals(contents(file).bytes, Files.readAllBytes(file), file.toString());
    }
  }

  private void create() throws IOException {
    Contents contents = new Contents();
    contents.bytes = bytes();
    Path file = freshPath();
    Files.write(file, contents.bytes, StandardOpenOption.CREATE_NEW);
    files.put(file, contents);
  }

  /// Appends, cuts or replaces.
  private void rewrite() throws IOException {
    Path file = anyFile();
    if (file == null) {
      return;
    }
    Contents contents = contents(file);
    switch (random.nextInt(3)) {
      case 0 -> {
        byte[] more = bytes();
        Files.write(file, more, StandardOpenOption.APPEND);
        byte[] all = Arrays.copyOf(contents.bytes, contents.bytes.length + more.length);
        System.arraycopy(more, 0, all, contents.bytes.length, more.length);
        contents.bytes = all;
      }
      case 1 -> {
        int keep = random.nextInt(contents.bytes.length + 1);
        try (var channel = Files.newByteChannel(file, StandardOpenOption.WRITE)) {
          channel.truncate(keep);
        }
        contents.bytes = Arrays.copyOf(contents.bytes, keep);
      }
      default -> {
        contents.bytes = bytes();
        Files.write(file, contents.bytes);
      }
    }
  }

  /// To a new name, or over another file.
  private void rename() throws IOException {
    Path from = anyFile();
    Path over = anyFile();
    if (from == null || over == null || files.get(from) == files.get(over)) {
      return;
    }
    Path to = random.nextBoolean() ? freshPath() : over;
    Files.move(from, to, StandardCopyOption.ATOMIC_MOVE);
    files.put(to, files.remove(from));
  }

  private void link() throws IOException {
    Path file = anyFile();
    if (file != null) {
      Path link = freshPath();
      Files.createLink(link, file);
      files.put(link, files.get(file));
    }
  }

  private void remove() throws IOException {
    Path file = anyFile();
    if (file != null) {
      Files.delete(file);
      files.remove(file);
    }
  }

  private void makeDirectory() throws IOException {
    if (directories.size() < DIRECTORIES_MAX) {
      Path directory = freshPath();
      Files.createDirectory(directory);
      directories.add(directory);
    }
  }

  private void removeDirectory() throws IOException {
    int index = random.nextInt(directories.size());
    Path directory = directories.get(index);
    if (directory.equals(root)) {
      return;
    }
    boolean empty =
        Stream.concat(files.keySet().stream(), directories.stream())
            .noneMatch(path -> !path.equals(directory) && path.startsWith(directory));
    try {
      Files.delete(directory);
      assertTrue(empty, directory + " was not empty");
      directories.remove(index);
    } catch (DirectoryNotEmptyException e) {
      assertFalse(empty, directory + " was empty");
    }
  }

  private Contents contents(Path file) {
    return Objects.requireNonNull(files.get(file));
  }

  private Path freshPath() {
    Path path = directories.get(random.nextInt(directories.size())).resolve("n" + names++);
    assertFalse(Files.exists(path, LinkOption.NOFOLLOW_LINKS), path.toString());
    return path;
  }

  private @Nullable Path anyFile() {
    int count = files.size();
    return count == 0
        ? null
        : files.keySet().stream().skip(random.nextInt(count)).findFirst().orElseThrow();
  }

  private byte[] bytes() {
    byte[] bytes = new byte[random.nextInt(FILE_BYTES_MAX)];
    random.nextBytes(bytes);
    return bytes;
  }
}
