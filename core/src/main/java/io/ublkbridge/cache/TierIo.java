package io.ublkbridge.cache;

/// A lane's way to the tier's file: the kernel's, and in tests a simulated disk's.
///
/// As in [io.ublkbridge.kernel.RingFile]: confined to the event loop but for [#close], each
/// operation ends with exactly one completion, a tag has one operation under way at most, and a
/// transfer may do a part only.
interface TierIo {
  void read(int tag, long positionBytes, long address, int lengthBytes);

  void write(int tag, long positionBytes, long address, int lengthBytes);

  /// Waits until nothing is under way any more. On a control thread.
  ///
  /// @return whether that worked; if not, the kernel may still use the memory of transfers
  boolean close();
}
