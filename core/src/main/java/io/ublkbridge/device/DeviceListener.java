package io.ublkbridge.device;

/// Told what happens to a device that its starter cannot wait for.
public interface DeviceListener {
  /// The kernel has made the device and given it this id; its disk does not exist yet. Called on
  /// the thread that starts the device; an exception ends the start, and the device is deleted.
  default void added(int id) {}

  /// A queue cannot go on. Called on its event loop; must end the process, because a loop that
  /// serves only some tags hangs the disk for ever.
  void failed(Throwable reason);
}
