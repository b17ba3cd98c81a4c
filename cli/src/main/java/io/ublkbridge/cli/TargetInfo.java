package io.ublkbridge.cli;

import io.ublkbridge.device.QueueLoops;
import io.ublkbridge.device.TargetRegistry;
import io.ublkbridge.kernel.UblkException;
import io.ublkbridge.target.Inspection;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetUri;
import java.time.Duration;
import java.util.Map;

/// Opens a target only to see what it offers; needs no ublk.
record TargetInfo(String source, Map<String, String> options, Duration timeout) {
  private static final int DEPTH = 16;

  /// What to do with a target while it is open.
  @FunctionalInterface
  interface Look {
    void at(Inspection inspection) throws CommandFailure;
  }

  void show(Look look) throws CommandFailure {
    String what = "cannot open " + source;
    try {
      TargetRegistry registry = TargetRegistry.load();
      TargetUri uri = registry.resolve(TargetUri.parse(source));
      try (QueueLoops loops = new QueueLoops(1, DEPTH);
          Inspection inspection =
              registry.inspect(uri, new OpenContext(loops.loop(0), false, timeout, options))) {
        look.at(inspection);
      }
    } catch (TargetOpenException e) {
      throw CommandFailure.of(what, e);
    } catch (UblkException e) {
      throw new CommandFailure(
          ExitCode.HOST_CANNOT, what + ": " + e.getMessage(), "ublk-bridge doctor", e);
    }
  }
}
