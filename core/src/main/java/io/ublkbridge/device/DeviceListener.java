package io.ublkbridge.device;

import io.ublkbridge.target.SuccessionFile;
import java.util.Optional;

/// Told what happens to a device that its starter cannot wait for, and asked what only that knows.
public interface DeviceListener {
  /// The kernel has made the device and given it this id; its disk does not exist yet. Called on
  /// the thread that starts the device; an exception ends the start, and the device is deleted.
  default void added(int id) {}

  /// Somebody else has stopped or deleted the device: no request will come any more. Called once,
  /// on an event loop; whoever deletes it waits until this process has let go of it
  /// ([UblkDevice#stop]).
  default void takenAway() {}

  /// Where the target of a device that outlives its server may keep what the next server needs.
  /// Asked on the thread that starts or resumes the device, after [#added].
  default Optional<SuccessionFile> successionFile(int id) {
    return Optional.empty();
  }

  /// A queue cannot go on. Called on its event loop; must end the process, because a loop that
  /// serves only some tags hangs the disk for ever.
  void failed(Throwable reason);
}
