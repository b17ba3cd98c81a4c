package io.ublkbridge.cli;

import io.ublkbridge.kernel.Deadline;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/// The kernel's search for partitions on a new disk. Before 7.0 it is over when START_DEV returns;
/// since then a kernel thread does it afterwards.
record PartitionScan(Host host, int id) {
  /// Waits until it is over.
  void await(Deadline deadline) {
    Path allowed = host.sysBlock(id).resolve("partscan");
    // The kernel thread first allows the search (this file says 1), then searches with the disk's
    // lock held, for which an open waits.
    while (!allows(allowed)) {
      if (!deadline.pause()) {
        return;
      }
    }
    try (FileChannel disk = FileChannel.open(host.disk(id), StandardOpenOption.READ)) {
      disk.size();
    } catch (IOException unreadable) {
      // Whoever uses the disk will be told.
    }
  }

  private static boolean allows(Path file) {
    try {
      return !Files.readString(file).strip().equals("0");
    } catch (NoSuchFileException olderKernel) {
      return true;
    } catch (IOException gone) {
      return true;
    }
  }
}
