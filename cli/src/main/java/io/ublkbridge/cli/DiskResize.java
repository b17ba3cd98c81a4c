package io.ublkbridge.cli;

import io.ublkbridge.kernel.Deadline;
import io.ublkbridge.kernel.UblkException;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Outage;
import io.ublkbridge.target.TargetOpenException;
import java.io.IOException;
import java.time.Duration;
import java.util.Objects;

/// Gives the disk that this process serves the size that its target has by now. On control threads.
record DiskResize(ServedDevice served, DeviceFiles files) {
  /// How long the target may take to say its size, and requests may wait for the change.
  private static final Duration PATIENCE = Duration.ofSeconds(30);

  /// Returns the device's record as it is afterwards, changed or not.
  ///
  /// @param force also if the target has shrunk
  DeviceRecord resize(boolean force) throws CommandFailure {
    DeviceRecord.Disk disk = Objects.requireNonNull(served.record().disk());
    String what = "cannot resize " + served.record().name();
    if (!served.device().resizes()) {
      throw new CommandFailure(
          ExitCode.HOST_CANNOT,
          what + ": with this kernel a disk keeps its size, Linux 6.16 is the first that can",
          "detach it, then attach it again");
    }
    try {
      long targetBytes = served.target().presentSize(PATIENCE);
      long diskBytes = targetBytes / disk.blockBytes() * disk.blockBytes();
      if (diskBytes == disk.sizeBytes()) {
        return served.record();
      }
      if (diskBytes < disk.sizeBytes() && !force) {
        throw new CommandFailure(
            ExitCode.FAILURE,
            "%s: its target has shrunk from %d to %d bytes"
                .formatted(what, disk.sizeBytes(), diskBytes),
            "shrink what is on the disk, then --force, which cuts off the rest");
      }
      awaitRemote(targetBytes, what);
      served.device().resize(served.target(), targetBytes, diskBytes, PATIENCE);
      return files.resized(diskBytes);
    } catch (TargetOpenException e) {
      throw CommandFailure.of(what, e);
    } catch (UblkException e) {
      throw CommandFailure.of(what, e);
    } catch (IOException e) {
      throw new CommandFailure(
          ExitCode.FAILURE, what + ": " + e.getMessage(), "ublk-bridge doctor", e);
    }
  }

  /// A remote that came back with another size was no good until now.
  private void awaitRemote(long targetBytes, String what) throws CommandFailure {
    BlockTarget target = served.target();
    if (target.outage().isPresent()) {
      target.resize(targetBytes);
    }
    Deadline deadline = Deadline.after(PATIENCE);
    Outage outage = target.outage().orElse(null);
    while (outage != null && deadline.pause()) {
      outage = target.outage().orElse(null);
    }
    if (outage != null) {
      throw new CommandFailure(
          ExitCode.UNREACHABLE, what + ": " + outage.why(), "resize it when the remote is back");
    }
  }
}
