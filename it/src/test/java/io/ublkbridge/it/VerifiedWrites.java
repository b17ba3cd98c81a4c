package io.ublkbridge.it;

/// Random writes of 4 KiB at depth 64 that are read back and compared by their checksums.
final class VerifiedWrites {
  private VerifiedWrites() {}

  /// Writes for some seconds.
  static Command run(Disk disk, int seconds) {
    return Command.run(
        "fio",
        "--name=writes",
        "--filename=" + disk.path(),
        "--rw=randwrite",
        "--bs=4k",
        "--size=32M",
        "--ioengine=libaio",
        "--direct=1",
        "--iodepth=64",
        "--verify=crc32c",
        "--verify_backlog=2048",
        "--verify_fatal=1",
        "--time_based",
        "--runtime=" + seconds);
  }
}
