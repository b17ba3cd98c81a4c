package io.ublkbridge.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/// The device manager, where one runs.
record Udev(Host host) {
  /// Waits until every event that the kernel has sent so far has been handled: links exist, probes
  /// have let go. Returns at once without udev.
  void settle(Duration deadline) {
    if (!running()) {
      return;
    }
    long seconds = Math.max(1, deadline.toSeconds());
    try {
      Process process =
          new ProcessBuilder("udevadm", "settle", "--timeout=" + seconds)
              .redirectErrorStream(true)
              .redirectOutput(ProcessBuilder.Redirect.DISCARD)
              .start();
      if (!process.waitFor(seconds + 1, TimeUnit.SECONDS)) {
        process.destroyForcibly();
      }
    } catch (IOException noUdevadm) {
      // Its daemon is then out of our sight, as in a container.
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  boolean running() {
    return Files.exists(host.root().resolve("run/udev/control"));
  }

  /// Whether some rule file speaks of ublk disks, as those of systemd do since 257.
  boolean knowsUblk() {
    for (String directory : new String[] {"etc", "run", "usr/lib", "lib"}) {
      Path rules = host.root().resolve(directory).resolve("udev/rules.d");
      try (var files = Files.newDirectoryStream(rules, "*.rules")) {
        for (Path file : files) {
          if (Files.readString(file).contains("ublk")) {
            return true;
          }
        }
      } catch (IOException | java.nio.file.DirectoryIteratorException unreadable) {
        // As if it were not there.
      }
    }
    return false;
  }
}
