package io.ublkbridge.loop;

/// Does the steps of requests on a file: the kernel does, and in tests a script.
///
/// Confined to the queue's event loop, except for [#close].
interface FileIo {
  /// Starts the step that the slot describes. Never throws; ends with exactly one call of
  /// [io.ublkbridge.kernel.RingFile.Completions#completed], which may come before this method
  /// returns.
  void start(LoopSlot slot);

  /// Waits until nothing is under way any more, then frees what the steps needed. On a control
  /// thread.
  ///
  /// @return whether that worked; if not, the kernel may still write into the slots' memory
  boolean close();
}
