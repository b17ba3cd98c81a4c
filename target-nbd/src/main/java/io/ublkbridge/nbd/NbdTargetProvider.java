package io.ublkbridge.nbd;

import io.netty.channel.IoEventLoop;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Inspection;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetProvider;
import io.ublkbridge.target.TargetUri;
import java.util.Set;

/// Opens exports of NBD servers, over TCP, Unix sockets and vsock, without TLS.
public final class NbdTargetProvider implements TargetProvider {
  @Override
  public Set<String> schemes() {
    return Set.of("nbd", "nbd+unix", "nbd+vsock");
  }

  @Override
  public TargetUri resolve(TargetUri uri) throws TargetOpenException {
    NbdUri.parse(uri);
    return uri;
  }

  @Override
  public BlockTarget open(TargetUri uri, OpenContext context) throws TargetOpenException {
    NbdOptions options = NbdOptions.of(context);
    NbdDialer dialer = new NbdDialer(NbdUri.parse(uri), context.timeout());
    return target(
        dialer, options, context.eventLoop(), dialer.dial(context.eventLoop(), Purpose.USE));
  }

  @Override
  public Inspection inspect(TargetUri uri, OpenContext context) throws TargetOpenException {
    NbdOptions options = NbdOptions.of(context);
    NbdDialer dialer = new NbdDialer(NbdUri.parse(uri), context.timeout());
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
