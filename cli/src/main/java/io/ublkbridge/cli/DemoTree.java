package io.ublkbridge.cli;

import java.io.IOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/// A real tree of files to show, chosen from what this machine has.
///
/// @param roots the directories to take whole
/// @param files how many files they hold
/// @param bytes how long these are
record DemoTree(List<Path> roots, int files, long bytes) {
  private static final int FILES_WANTED = 2000;
  private static final int FILES_MAX = 6000;
  private static final long BYTES_MAX = 64L << 20;

  /// Directories of larger files than this on average would only take time.
  private static final long AVERAGE_BYTES_MAX = 32 << 10;

  private static final List<String> PLACES =
      List.of("usr/share", "usr/lib", "usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu");

  /// Takes directories of small files until there are enough.
  static DemoTree choose(Path root) {
    List<Path> roots = new ArrayList<>();
    int files = 0;
    long bytes = 0;
    for (Path candidate : candidates(root)) {
      Size size = new Size();
      try {
        Files.walkFileTree(candidate, size);
      } catch (IOException unreadable) {
        continue;
      }
      boolean fits = files + size.files <= FILES_MAX && bytes + size.bytes <= BYTES_MAX;
      if (fits && size.bytes <= AVERAGE_BYTES_MAX * size.files) {
        roots.add(candidate);
        files += size.files;
        bytes += size.bytes;
      }
      if (files >= FILES_WANTED) {
        break;
      }
    }
    return new DemoTree(roots, files, bytes);
  }

  private static List<Path> candidates(Path root) {
    List<Path> candidates = new ArrayList<>();
    for (String place : PLACES) {
      List<Path> directories = new ArrayList<>();
      try (DirectoryStream<Path> entries =
          Files.newDirectoryStream(
              root.resolve(place), entry -> Files.isDirectory(entry, LinkOption.NOFOLLOW_LINKS))) {
        entries.forEach(directories::add);
      } catch (IOException | DirectoryIteratorException none) {
        continue;
      }
      directories.sort(Comparator.naturalOrder());
      candidates.addAll(directories);
    }
    return candidates;
  }

  /// Adds up regular files; stops when there are too many.
  private static final class Size extends SimpleFileVisitor<Path> {
    private int files;
    private long bytes;

    @Override
    public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
      if (attributes.isRegularFile()) {
        files++;
        bytes += attributes.size();
      }
      boolean fits = files <= FILES_MAX && bytes <= BYTES_MAX;
      return fits ? FileVisitResult.CONTINUE : FileVisitResult.TERMINATE;
    }
  }
}
