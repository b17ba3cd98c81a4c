package io.ublkbridge.cli;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.ublkbridge.kernel.Posix;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;

/// The server's way to the one who started it: a pipe that `bin/ublk-bridge` hands over as
/// descriptor 3. Confined to the thread that starts the device.
final class ReportPipe implements AutoCloseable {
  private static final int DESCRIPTOR = 3;

  private final OutputStream pipe;
  private boolean closed;

  private ReportPipe(OutputStream pipe) {
    this.pipe = pipe;
  }

  static ReportPipe open() throws IOException {
    OutputStream pipe = new FileOutputStream("/proc/self/fd/" + DESCRIPTOR);
    Posix.close(DESCRIPTOR);
    return new ReportPipe(pipe);
  }

  /// Sends a report; the last one closes the pipe. Nobody may listen any more, which changes
  /// nothing for the device.
  void send(ServerReport report) {
    if (closed) {
      return;
    }
    try {
      pipe.write((report.toJson() + "\n").getBytes(UTF_8));
      pipe.flush();
    } catch (IOException nobodyListens) {
      close();
    }
    if (!(report instanceof ServerReport.Added)) {
      close();
    }
  }

  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    try {
      pipe.close();
    } catch (IOException alreadyBroken) {
      // A pipe that cannot be closed has no reader either.
    }
  }
}
