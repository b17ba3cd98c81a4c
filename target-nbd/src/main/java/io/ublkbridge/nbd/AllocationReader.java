package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.NbdProtocol.NBD_STATE_HOLE;
import static io.ublkbridge.nbd.NbdProtocol.NBD_STATE_ZERO;

import io.netty.channel.EventLoop;
import io.ublkbridge.target.Durations;
import io.ublkbridge.target.Extent;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.Inspection.ExtentVisitor;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.time.Duration;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/// Reads an export's allocation map, answer by answer, and joins what the answers cut.
///
/// Called from control threads; nothing else is under way on the connection.
///
/// @param deadline how long one answer may take
record AllocationReader(NbdConnection connection, EventLoop loop, Duration deadline) {
  /// What a compact request can ask for, in whole blocks of every size.
  private static final long COMPACT_BYTES_MAX = (1L << 32) - (64 << 10);

  void read(Geometry geometry, ExtentVisitor map) throws TargetOpenException {
    Negotiated negotiated = connection.negotiated();
    if (negotiated.allocationContext().isEmpty()) {
      throw new TargetOpenException(
          Reason.UNSUPPORTED,
          "the server does not tell where the export holds data",
          "use a server that knows base:allocation (nbdkit, qemu-nbd)");
    }
    int context = negotiated.allocationContext().getAsInt();
    long lengthMax =
        negotiated.info().headers().extendedHeaders() ? Long.MAX_VALUE : COMPACT_BYTES_MAX;
    long size = geometry.sizeBytes();
    Extent last = null;
    long at = 0;
    while (at < size) {
      StatusQuery query = new StatusQuery(context, at, Math.min(lengthMax, size - at));
      ask(query);
      for (int i = 0; i < query.count(); i++) {
        Extent next = extent(at, query.endBytes(i), query.flags(i));
        at = query.endBytes(i);
        last = joined(last, next, map);
      }
    }
    if (last != null) {
      map.extent(last);
    }
  }

  private static Extent extent(long start, long end, int flags) {
    Extent.Type type =
        switch (flags) {
          case NBD_STATE_HOLE | NBD_STATE_ZERO -> Extent.Type.HOLE;
          case NBD_STATE_HOLE -> Extent.Type.UNDEFINED;
          case NBD_STATE_ZERO -> Extent.Type.ZERO;
          default -> Extent.Type.DATA;
        };
    return new Extent(start, end - start, type);
  }

  /// Joins two extents if they are alike, and tells of the first if they are not.
  ///
  /// @return what the one after is to be joined with
  private static Extent joined(@Nullable Extent last, Extent next, ExtentVisitor map) {
    if (last == null) {
      return next;
    }
    if (last.type() == next.type()) {
      return new Extent(last.offsetBytes(), last.lengthBytes() + next.lengthBytes(), last.type());
    }
    map.extent(last);
    return next;
  }

  private void ask(StatusQuery query) throws TargetOpenException {
    loop.execute(() -> {
      Loss loss = connection.loss();
      if (loss != null) {
        query.fail(IoError.UNREACHABLE, loss.why());
        return;
      }
      connection.start(query, NbdProtocol.NBD_CMD_BLOCK_STATUS, 0, null);
      connection.flush();
    });
    String what = "where the export holds data, from byte " + query.offsetBytes() + " on";
    try {
      IoError error = query.end().get(deadline.toMillis(), TimeUnit.MILLISECONDS);
      if (error != null) {
        throw new TargetOpenException(
            Reason.FAILED, "the server failed to tell " + what, "does the server's log say why?");
      }
    } catch (TimeoutException e) {
      throw new TargetOpenException(
          Reason.TIMED_OUT,
          "the server did not tell within " + Durations.format(deadline) + " " + what,
          "--io-timeout gives it longer",
          e);
    } catch (ExecutionException e) {
      Throwable cause = e.getCause();
      throw new TargetOpenException(
          Reason.UNREACHABLE, String.valueOf(cause == null ? e : cause.getMessage()), null, e);
    } catch (InterruptedException e) {
      throw NbdDialer.interrupted(e);
    }
  }
}
