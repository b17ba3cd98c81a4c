package io.ublkbridge.cli;

import java.io.IOException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/// Starts server processes: [DaemonProcess#start], or a test's own.
interface ServerStarter {
  /// Starts one.
  ///
  /// @param log takes all that it says; null lets it speak through this process
  DaemonProcess start(ServerRequest request, @Nullable Path log) throws IOException;
}
