package io.ublkbridge.it;

import java.nio.file.Path;

/// A partition table as PCs have had it since DOS.
final class PartitionTable {
  private PartitionTable() {}

  /// Writes one with a Linux partition from sector 2048 on, of 28672 sectors (14 MiB).
  static void write(Path disk) {
    put(disk, 446, "\\0\\0\\0\\0\\203\\0\\0\\0\\0\\010\\0\\0\\0\\160\\0\\0");
    put(disk, 510, "\\125\\252");
  }

  private static void put(Path disk, int offset, String octal) {
    Command.shell(
        "printf '%s' | dd of=%s bs=1 seek=%d conv=notrunc status=none"
            .formatted(octal, disk, offset));
  }
}
