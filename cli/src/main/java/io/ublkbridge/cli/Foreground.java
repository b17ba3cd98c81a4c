package io.ublkbridge.cli;

/// A server that this command waits for.
final class Foreground {
  private Foreground() {}

  /// Waits for the server's end; a signal to this process stops it cleanly.
  ///
  /// @return the exit status
  static int serve(DaemonProcess server) {
    Thread forward =
        new Thread(
            () -> {
              server.terminate();
              // The signal was asked for, so a clean stop is a success.
              Runtime.getRuntime().halt(server.await());
            },
            "forward-signal");
    Runtime.getRuntime().addShutdownHook(forward);
    int status = server.await();
    try {
      Runtime.getRuntime().removeShutdownHook(forward);
    } catch (IllegalStateException stopping) {
      // A signal has come: the hook ends this process.
    }
    return status;
  }
}
