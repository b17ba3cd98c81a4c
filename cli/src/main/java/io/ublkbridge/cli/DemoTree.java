package io.ublkbridge.cli;

import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.List;

/// A real tree of files to show, chosen from what this machine has.
///
/// @param roots the directories to take whole
/// @param files how many files they hold
/// @param bytes how long these are
record DemoTree(List<Path> roots, int files, long bytes) {
  private static final int FILES_WANTED = 2000;
  private static final int FILES_MAX = 6000;
  private static final long BYTES_MAX = 96L << 20;

  /// Takes candidates in their order as long as they fit.
  static DemoTree choose(List<Path> candidates) {
    List<Path> roots = new ArrayList<>();
    int files = 0;
    long bytes = 0;
    for (Path candidate : candidates) {
      Size size = new Size();
      try {
        Files.walkFileTree(candidate, size);
      } catch (IOException unreadable) {
        continue;
      }
      if (files + size.files <= FILES_MAX && bytes + size.bytes <= BYTES_MAX) {
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
