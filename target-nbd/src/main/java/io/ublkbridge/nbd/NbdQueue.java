package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_FLAG_FUA;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_FLAG_NO_HOLE;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_FLUSH;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_READ;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_TRIM;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_WRITE;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_WRITE_ZEROES;
import static io.ublkbridge.nbd.NbdProtocol.NBD_FLAG_SEND_FLUSH;
import static io.ublkbridge.nbd.NbdProtocol.NBD_FLAG_SEND_FUA;

import io.netty.channel.IoEventLoop;
import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetQueue;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/// The lane of one ublk queue: turns requests into NBD commands and gives each to one of its
/// connections, all of which live on the queue's event loop.
///
/// A FLUSH goes to any one connection: it covers every write that was answered before it was sent,
/// whichever connection that came on, because more than one is only used where the server promises
/// just that (CAN_MULTI_CONN).
///
/// When one connection is lost the others are given up too: the queue works or it does not.
final class NbdQueue implements TargetQueue {
  /// The deadline watch looks so many times within one deadline: a request is overdue between one
  /// deadline and 1 + 1/8 of it.
  private static final int TICKS_PER_DEADLINE = 8;

  private final NbdConnection[] connections;
  private final Geometry geometry;
  private final Capabilities capabilities;
  private final boolean serverFlushes;
  private final boolean serverHasFua;
  private final TurnEnd turnEnd;
  private final Future<?> deadlineWatch;

  /// Confined to the loop.
  private boolean flushDue;

  /// @param connections at least one, all on `eventLoop`
  /// @param deadline how long a request may stay unanswered
  NbdQueue(
      List<NbdConnection> connections, IoEventLoop eventLoop, Geometry geometry, Duration deadline)
      throws TargetOpenException {
    this.connections = connections.toArray(NbdConnection[]::new);
    this.geometry = geometry;
    ExportInfo info = connections.getFirst().negotiated().info();
    this.capabilities = info.capabilities(1);
    this.serverFlushes = info.has(NBD_FLAG_SEND_FLUSH);
    this.serverHasFua = info.has(NBD_FLAG_SEND_FUA);
    try {
      this.turnEnd = new TurnEnd(eventLoop, this::flush);
      eventLoop.submit(this::adopt).get();
    } catch (InterruptedException | ExecutionException e) {
      throw NbdDialer.interrupted(e);
    }
    long period = Math.max(1, deadline.toNanos() / TICKS_PER_DEADLINE);
    this.deadlineWatch =
        eventLoop.scheduleAtFixedRate(this::tick, period, period, TimeUnit.NANOSECONDS);
  }

  private void adopt() {
    for (NbdConnection connection : connections) {
      connection.onLoss(this::onLoss);
    }
  }

  private void onLoss(IOException why) {
    for (NbdConnection connection : connections) {
      connection.abandon(why);
    }
  }

  @Override
  public void submit(BlockRequest request) {
    IoError refusal = refusal(request);
    if (refusal != null) {
      request.fail(refusal, null);
      return;
    }
    switch (request.operation()) {
      case READ -> start(request, NBD_CMD_READ, 0);
      case WRITE -> start(request, NBD_CMD_WRITE, fua(request));
      case DISCARD -> start(request, NBD_CMD_TRIM, fua(request));
      case WRITE_ZEROES ->
          start(
              request,
              NBD_CMD_WRITE_ZEROES,
              fua(request) | (request.mayUnmap() ? 0 : NBD_CMD_FLAG_NO_HOLE));
      case FLUSH -> {
        if (serverFlushes) {
          start(request, NBD_CMD_FLUSH, 0);
        } else {
          // A server that knows no FLUSH promises that a completed write needs none.
          request.complete();
        }
      }
    }
  }

  /// Why a request must not be sent, or null. The device asks for nothing of this; a request beyond
  /// the limits would make the server end the connection for all the others.
  private @Nullable IoError refusal(BlockRequest request) {
    long length = request.lengthBytes();
    long offset = request.offsetBytes();
    switch (request.operation()) {
      case FLUSH -> {
        return length == 0 && offset == 0 ? null : IoError.IO;
      }
      case READ, WRITE -> {
        if (length > geometry.maxIoBytes()) {
          return IoError.IO;
        }
      }
      case DISCARD, WRITE_ZEROES -> {
        if (length > geometry.maxZeroBytes()) {
          return IoError.IO;
        }
      }
    }
    if (length <= 0 || offset < 0 || offset > geometry.sizeBytes() - length) {
      return IoError.IO;
    }
    if (!capabilities.allows(request.operation())) {
      return IoError.UNSUPPORTED;
    }
    // Without FUA the requester must write and then flush; that it does not is its mistake.
    return request.durable() && serverFlushes && !serverHasFua ? IoError.UNSUPPORTED : null;
  }

  private int fua(BlockRequest request) {
    return request.durable() && serverHasFua ? NBD_CMD_FLAG_FUA : 0;
  }

  private void start(BlockRequest request, int type, int flags) {
    NbdConnection connection = leastBusy();
    connection.start(request, type, flags);
    if (connection.inFlight() == 1) {
      // Nobody to wait for.
      connection.flush();
    } else if (!flushDue) {
      flushDue = turnEnd.arm();
      if (!flushDue) {
        flush();
      }
    }
  }

  private NbdConnection leastBusy() {
    NbdConnection least = connections[0];
    for (int i = 1; i < connections.length; i++) {
      if (connections[i].inFlight() < least.inFlight()) {
        least = connections[i];
      }
    }
    return least;
  }

  private void flush() {
    flushDue = false;
    for (NbdConnection connection : connections) {
      connection.flush();
    }
  }

  private void tick() {
    for (NbdConnection connection : connections) {
      connection.tick(TICKS_PER_DEADLINE);
    }
  }

  @Override
  public void close() {
    deadlineWatch.cancel(false);
    for (NbdConnection connection : connections) {
      connection.close();
    }
    turnEnd.close();
  }
}
