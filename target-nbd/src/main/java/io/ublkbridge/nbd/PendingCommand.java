package io.ublkbridge.nbd;

import io.ublkbridge.target.BlockRequest;
import org.jspecify.annotations.Nullable;

/// One request under way on one connection: what the replies to its cookie are checked against.
///
/// Belongs to a [CookieTable], which reuses it for ever. Confined to the connection's event loop.
final class PendingCommand {
  private final int slot;
  private final ReadCoverage coverage = new ReadCoverage();

  /// Counts the uses of this slot, so that a reply that comes twice does not meet the slot's next
  /// user.
  private int generation;

  private @Nullable BlockRequest request;
  private int type;
  private long offsetBytes;
  private int lengthBytes;
  private int startedTick;

  /// The first error that the server reported for it, or 0.
  private int errno;

  private long order;
  private boolean inDoubt;
  private long journalMark;
  private @Nullable JournalEntry journalEntry;

  PendingCommand(int slot) {
    this.slot = slot;
  }

  void start(BlockRequest started, int commandType, int tick) {
    request = started;
    type = commandType;
    offsetBytes = started.offsetBytes();
    lengthBytes = (int) started.lengthBytes();
    startedTick = tick;
    errno = 0;
    order = 0;
    inDoubt = false;
    journalMark = 0;
    journalEntry = null;
    coverage.clear();
  }

  /// Notes what its queue must know of it when it ends.
  ///
  /// @param number its place in the order in which the queue got its requests
  /// @param again whether it was sent before, on a connection that was lost
  void queued(long number, boolean again) {
    order = number;
    inDoubt = again;
  }

  long order() {
    return order;
  }

  boolean inDoubt() {
    return inDoubt;
  }

  /// Notes what a FLUSH covers.
  void covers(long mark) {
    journalMark = mark;
  }

  long journalMark() {
    return journalMark;
  }

  void journalled(@Nullable JournalEntry entry) {
    journalEntry = entry;
  }

  @Nullable JournalEntry journalEntry() {
    return journalEntry;
  }

  /// Ends this use; the cookie means nothing from here on.
  BlockRequest end() {
    BlockRequest ended = request();
    request = null;
    journalEntry = null;
    generation++;
    return ended;
  }

  BlockRequest request() {
    BlockRequest current = request;
    if (current == null) {
      throw new IllegalStateException("slot " + slot + " is not in use");
    }
    return current;
  }

  boolean inUse() {
    return request != null;
  }

  int slot() {
    return slot;
  }

  /// What the request and its replies carry: generation and slot.
  long cookie() {
    return (long) generation << 32 | slot;
  }

  boolean isRead() {
    return type == NbdProtocol.NBD_CMD_READ;
  }

  int type() {
    return type;
  }

  long offsetBytes() {
    return offsetBytes;
  }

  int lengthBytes() {
    return lengthBytes;
  }

  /// The tick of the deadline watch at which it began.
  int startedTick() {
    return startedTick;
  }

  ReadCoverage coverage() {
    return coverage;
  }

  int errno() {
    return errno;
  }

  void failed(int firstErrno) {
    if (errno == 0) {
      errno = firstErrno;
    }
  }
}
