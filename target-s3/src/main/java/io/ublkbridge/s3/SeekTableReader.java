package io.ublkbridge.s3;

import io.ublkbridge.s3.StoreException.Kind;
import io.ublkbridge.target.TargetOpenException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/// Reads the seek table of a compressed image, and believes it only as far as it can be proved.
///
/// The table has no checksum of its own, and one wrong length in it would move all that is behind.
/// Who makes images gives all frames but the last the same length, so what differs from that, and
/// the first for all the others, are decompressed to see whether they are as long as the table
/// says. Runs on a control thread.
final class SeekTableReader {
  /// How many frames may be of another length than the first.
  static final int UNUSUAL_MAX = 8;

  /// What is read of.
  @FunctionalInterface
  interface Source {
    /// Reads a range, and waits for it.
    ///
    /// @param into as long as the range; off the heap
    void read(long offsetBytes, MemorySegment into) throws StoreException, TargetOpenException;
  }

  private final Source object;
  private final long objectBytes;

  private SeekTableReader(Source object, long objectBytes) {
    this.object = object;
    this.objectBytes = objectBytes;
  }

  /// @param objectBytes how long the object is, at least a byte
  /// @throws StoreException if there is no such table, or it does not fit the object
  static SeekTable read(Source object, long objectBytes)
      throws StoreException, TargetOpenException {
    SeekTableReader reader = new SeekTableReader(object, objectBytes);
    SeekTable table = reader.table();
    reader.prove(table);
    return table;
  }

  private SeekTable table() throws StoreException, TargetOpenException {
    try (Arena arena = Arena.ofShared()) {
      // What is shorter than a footer is none.
      long footerBytes = Math.min(objectBytes, SeekTable.FOOTER_BYTES);
      MemorySegment footer = arena.allocate(SeekTable.FOOTER_BYTES);
      object.read(objectBytes - footerBytes, footer.asSlice(0, footerBytes));
      long tableBytes = SeekTable.Footer.of(footer, objectBytes).tableBytes();
      MemorySegment table = arena.allocate(tableBytes);
      read(objectBytes - tableBytes, table);
      return SeekTable.of(table, objectBytes);
    }
  }

  private void read(long offsetBytes, MemorySegment into)
      throws StoreException, TargetOpenException {
    for (long at = 0; at < into.byteSize(); at += S3ImageQueue.PIECE_BYTES) {
      long length = Math.min(S3ImageQueue.PIECE_BYTES, into.byteSize() - at);
      object.read(offsetBytes + at, into.asSlice(at, length));
    }
  }

  private void prove(SeekTable table) throws StoreException, TargetOpenException {
    int unusual = 0;
    for (int i = 1; i < table.frameCount(); i++) {
      if (table.length(i) != table.length(0) && ++unusual > UNUSUAL_MAX) {
        throw new StoreException(
            Kind.UNREADABLE,
            "the compressed image has frames of many lengths, or a damaged seek table",
            "compress it in frames of 1M, as docs/s3.md says",
            null);
      }
    }
    for (int i = 0; i < table.frameCount(); i++) {
      if (i == 0 || table.length(i) != table.length(0)) {
        prove(table, i);
      }
    }
  }

  private void prove(SeekTable table, int frame) throws StoreException, TargetOpenException {
    try (Arena arena = Arena.ofShared()) {
      MemorySegment compressed = arena.allocate(table.compressedLength(frame));
      read(table.compressedStart(frame), compressed);
      StoreException wrong =
          FrameDecoder.decode(table, frame, compressed, arena.allocate(table.length(frame)));
      if (wrong != null) {
        throw wrong;
      }
    }
  }
}
