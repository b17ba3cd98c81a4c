package io.ublkbridge.cli;

import java.nio.file.Path;

/// Systemd, where it has started this command and waits to hear that the disk can be used.
final class ServiceManager {
  /// Set by systemd for services of `Type=notify`, see sd_notify(3).
  private static final String SOCKET = "NOTIFY_SOCKET";

  private ServiceManager() {}

  /// Says that the service is up; nothing without systemd.
  ///
  /// @param status for people, in `systemctl status`
  static void ready(String status) throws CommandFailure {
    if (System.getenv(SOCKET) != null) {
      // A program of systemd's: Java has no sockets for datagrams between processes.
      Tool.run(Path.of("/"), "systemd-notify", "--ready", "--status=" + status);
    }
  }
}
