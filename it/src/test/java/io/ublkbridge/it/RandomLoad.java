package io.ublkbridge.it;

import java.io.IOException;
import java.nio.file.Path;

/// Random reads and writes of 4 KiB that go on until the disk is gone, or somebody ends them.
final class RandomLoad {
  private RandomLoad() {}

  /// Starts it, and returns once a hundred writes are done.
  ///
  /// @param depth requests under way
  /// @param log takes what fio says
  static Process start(Path disk, int depth, Path log) throws IOException {
    Process load =
        new ProcessBuilder(
                "fio",
                "--name=load",
                "--filename=" + disk,
                "--rw=randrw",
                "--bs=4k",
                "--direct=1",
                "--ioengine=libaio",
                "--iodepth=" + depth,
                "--time_based",
                "--runtime=300")
            .redirectErrorStream(true)
            .redirectOutput(log.toFile())
            .start();
    Command.shell(
        "until [ $(awk '{print $5}' /sys/block/%s/stat) -gt 100 ]; do sleep 0.1; done"
            .formatted(disk.getFileName()));
    return load;
  }
}
