package io.ublkbridge.overlay;

import java.io.IOException;
import java.lang.foreign.MemorySegment;

/// An overlay's file as control threads use it before and after the queue does; may block.
interface OverlayStorage {
  long lengthBytes() throws IOException;

  /// Reads all of the memory's length.
  ///
  /// @throws java.io.EOFException if the file ends before
  void read(long position, MemorySegment into) throws IOException;

  /// Writes all of it.
  void write(long position, MemorySegment from) throws IOException;

  /// Makes the file at least so long, with holes.
  void extend(long lengthBytes) throws IOException;

  /// Makes everything that was written durable.
  void force() throws IOException;
}
