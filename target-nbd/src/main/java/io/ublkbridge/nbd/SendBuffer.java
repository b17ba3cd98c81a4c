package io.ublkbridge.nbd;

import io.netty.buffer.ByteBuf;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/// Memory that requests are encoded into, one behind the other, and that is sent piece by piece.
///
/// Payload stays here for the write journal after it was sent, so the memory is used again only
/// when Netty has let go of every piece and no write in it is kept. Confined to one event loop.
final class SendBuffer {
  /// It is in no file.
  private static final long NOWHERE = -1;

  private final ByteBuf buffer;
  private final MemorySegment memory;
  private final long filePosition;

  /// What pieces were sent as, to be used again when Netty has let go of all of them: they count
  /// their references together.
  private final List<ByteBuf> pieces = new ArrayList<>();

  private int piecesUsed;
  private int end;
  private int shared;
  private int writesKept;
  private boolean taken;

  /// @param buffer direct; this owns one reference
  SendBuffer(ByteBuf buffer) {
    this(buffer, MemorySegment.ofBuffer(buffer.nioBuffer(0, buffer.capacity())), NOWHERE);
  }

  /// A part of a journal's file.
  ///
  /// @param buffer direct; this owns one reference
  /// @param memory the same
  /// @param filePosition where in the file it begins
  SendBuffer(ByteBuf buffer, MemorySegment memory, long filePosition) {
    this.buffer = buffer;
    this.memory = memory;
    this.filePosition = filePosition;
  }

  /// Whether it is still there when this process is not.
  boolean isLasting() {
    return filePosition != NOWHERE;
  }

  /// Where its first byte is in the journal's file, if it [#isLasting].
  long filePosition() {
    return filePosition;
  }

  MemorySegment memory() {
    return memory;
  }

  int capacity() {
    return buffer.capacity();
  }

  /// Where the next byte goes.
  int end() {
    return end;
  }

  void advance(int bytes) {
    end += bytes;
  }

  /// Whether so many more bytes fit, when everything that nobody needs is forgotten.
  boolean hasRoom(int bytes) {
    if (end > 0 && shared == end && isUnused()) {
      end = 0;
      shared = 0;
    }
    return buffer.capacity() - end >= bytes;
  }

  boolean hasUnshared() {
    return shared < end;
  }

  /// What was encoded since the last call, with a reference of its own for the receiver.
  ByteBuf share() {
    if (buffer.refCnt() == 1) {
      piecesUsed = 0;
    }
    if (piecesUsed == pieces.size()) {
      pieces.add(buffer.duplicate());
    }
    ByteBuf piece = pieces.get(piecesUsed++);
    var _ = piece.setIndex(shared, end).retain();
    shared = end;
    return piece;
  }

  /// Forgets what was encoded and not shared.
  void forgetUnshared() {
    end = shared;
  }

  /// Keeps the memory until [#letGo] was called as often.
  void keep() {
    writesKept++;
  }

  void letGo() {
    writesKept--;
  }

  /// Whether somebody encodes into it.
  boolean isTaken() {
    return taken;
  }

  void taken(boolean now) {
    taken = now;
  }

  /// Whether nobody reads it any more.
  boolean isUnused() {
    return writesKept == 0 && buffer.refCnt() == 1;
  }

  void clear() {
    end = 0;
    shared = 0;
  }

  void release() {
    buffer.release();
  }
}
