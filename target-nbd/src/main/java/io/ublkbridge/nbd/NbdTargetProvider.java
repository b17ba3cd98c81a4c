package io.ublkbridge.nbd;

import io.netty.channel.IoEventLoop;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Inspection;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetProvider;
import io.ublkbridge.target.TargetUri;
import java.util.Set;

/// Opens exports of NBD servers, over TCP, Unix sockets and vsock, plain or with TLS.
public final class NbdTargetProvider implements TargetProvider {
  @Override
  public Set<String> schemes() {
    return Set.of("nbd", "nbd+unix", "nbd+vsock", "nbds", "nbds+unix", "nbds+vsock");
  }

  @Override
  public TargetUri resolve(TargetUri uri) throws TargetOpenException {
    NbdUri parsed = NbdUri.parse(uri);
    NbdUri absolute = parsed.absolute();
    // Printed anew only where it must be: people want to find again what they have written.
    return absolute.equals(parsed) ? uri : TargetUri.parse(absolute.toString());
  }

  @Override
  public BlockTarget open(TargetUri uri, OpenContext context) throws TargetOpenException {
    NbdOptions options = NbdOptions.of(context);
    NbdDialer dialer = new NbdDialer(NbdUri.parse(uri).with(context), context.timeout());
    return target(
        dialer, options, context.eventLoop(), dialer.dial(context.eventLoop(), Purpose.USE));
  }

  @Override
  public Inspection inspect(TargetUri uri, OpenContext context) throws TargetOpenException {
    NbdOptions options = NbdOptions.of(context);
    NbdDialer dialer = new NbdDialer(NbdUri.parse(uri).with(context), context.timeout());
    try {
      NbdConnection connection = dialer.dial(context.eventLoop(), Purpose.INSPECTION);
      AllocationReader map =
          new AllocationReader(connection, context.eventLoop(), options.ioTimeout());
      return new NbdInspection(
          target(dialer, options, context.eventLoop(), connection),
          connection.negotiated().exports(),
          map);
    } catch (TargetOpenException e) {
      if (dialer.uri().exportName().isEmpty()
          && e.getCause() instanceof UnknownExport unknown
          && !unknown.exports().isEmpty()) {
        return new NbdInspection(null, unknown.exports(), null);
      }
      throw e;
    }
  }

  private static NbdTarget target(
      NbdDialer dialer, NbdOptions options, IoEventLoop loop, NbdConnection first)
      throws TargetOpenException {
    try {
      return new NbdTarget(dialer, options, loop, first);
    } catch (TargetOpenException e) {
      first.close();
      throw e;
    }
  }
}
