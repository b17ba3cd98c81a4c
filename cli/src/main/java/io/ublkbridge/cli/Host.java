package io.ublkbridge.cli;

import java.nio.file.Path;

/// Where things are on this machine; a test puts them below a directory of its own.
record Host(Path root) {
  static Host real() {
    return new Host(Path.of("/"));
  }

  /// State files and control sockets of the devices.
  Path run() {
    return root.resolve("run/ublk-bridge");
  }

  Path logs() {
    return root.resolve("var/log/ublk-bridge");
  }

  Path proc() {
    return root.resolve("proc");
  }

  Path sys() {
    return root.resolve("sys");
  }

  Path dev() {
    return root.resolve("dev");
  }

  /// The driver's node, which is there whether or not there are devices.
  Path control() {
    return dev().resolve("ublk-control");
  }

  Path disk(int id) {
    return dev().resolve("ublkb" + id);
  }

  Path charDevice(int id) {
    return dev().resolve("ublkc" + id);
  }

  /// The directory that the kernel shows while a disk exists.
  Path sysBlock(int id) {
    return sys().resolve("block/ublkb" + id);
  }
}
