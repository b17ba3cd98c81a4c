package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_FLUSH;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_TRIM;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_WRITE;

import io.ublkbridge.nbd.JournalExtents.Extent;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import java.util.Iterator;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/// Does acknowledged writes again on a server that may have lost them, and flushes, before anything
/// else happens on it. Used once; confined to the connection's event loop.
final class JournalReplay implements NbdConnection.Owner {
  private static final int UNDER_WAY_MAX = 16;

  /// How it ended.
  enum Result {
    /// Everything is durable now.
    DONE,
    /// The server refused some of it.
    REFUSED,
    /// The connection was lost; it can be done again on another.
    LOST
  }

  private final NbdConnection connection;
  private final Iterator<Extent> left;
  private final Consumer<Result> end;
  private int underWay;
  private boolean refused;
  private boolean flushing;
  private boolean ended;

  /// @param entries acknowledged ones of all queues, which stay as they are until the end
  /// @param end told the result on the loop
  JournalReplay(NbdConnection connection, List<JournalEntry> entries, Consumer<Result> end) {
    this.connection = connection;
    this.left = JournalExtents.of(entries).iterator();
    this.end = end;
  }

  void start(SendBuffers buffers) {
    connection.ownedBy(this, buffers);
    advance();
  }

  private void advance() {
    while (!ended && underWay < UNDER_WAY_MAX && left.hasNext()) {
      Extent extent = left.next();
      int type = extent.entry().type();
      send(request(extent), type, extent.entry().flags());
    }
    if (!ended && underWay == 0 && !flushing) {
      flushing = true;
      send(OwnRequest.flush(this::done), NBD_CMD_FLUSH, 0);
    }
    connection.flush();
  }

  private OwnRequest request(Extent extent) {
    int type = extent.entry().type();
    if (type == NBD_CMD_WRITE) {
      return OwnRequest.write(
          extent.offset(), extent.entry().payload(extent.from(), extent.length()), this::done);
    }
    return OwnRequest.zero(
        type == NBD_CMD_TRIM ? Operation.DISCARD : Operation.WRITE_ZEROES,
        extent.offset(),
        extent.length(),
        this::done);
  }

  private void send(OwnRequest request, int type, int flags) {
    underWay++;
    if (connection.start(request, type, flags, null) == null) {
      throw new IllegalStateException("a new connection has no room for a request");
    }
  }

  private void done(@Nullable IoError error) {
    underWay--;
    if (ended) {
      return;
    }
    refused |= error != null;
    if (flushing) {
      finish(refused ? Result.REFUSED : Result.DONE);
    } else {
      advance();
    }
  }

  private void finish(Result result) {
    ended = true;
    end.accept(result);
  }

  @Override
  public void acknowledged(PendingCommand command) {}

  @Override
  public void refused(PendingCommand command) {}

  @Override
  public void lost(NbdConnection lostConnection, Loss loss) {
    boolean late = ended;
    ended = true;
    for (PendingCommand command : lostConnection.takePending()) {
      lostConnection.end(command);
    }
    if (!late) {
      end.accept(Result.LOST);
    }
  }
}
