package io.ublkbridge.overlay;

/// I/O on an overlay's file: the kernel does it, and in tests a disk that loses power.
///
/// As [io.ublkbridge.kernel.RingFile] has it: one operation for each tag, whose end is told to the
/// queue and may come before the method returns. Confined to the event loop, except for [#close].
interface OverlayIo {
  void read(int tag, long positionBytes, long address, int lengthBytes);

  void write(int tag, long positionBytes, long address, int lengthBytes);

  /// Makes everything durable whose write ended before.
  void dataSync(int tag);

  void punchHole(int tag, long positionBytes, long lengthBytes);

  /// Waits until nothing is under way any more. On a control thread.
  ///
  /// @return whether that worked; if not, the kernel may still use the memory of transfers
  boolean close();
}
