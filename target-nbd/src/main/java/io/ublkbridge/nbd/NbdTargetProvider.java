package io.ublkbridge.nbd;

import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetProvider;
import io.ublkbridge.target.TargetUri;
import java.util.Set;

/// Opens exports of NBD servers, over TCP and over Unix sockets, without TLS.
public final class NbdTargetProvider implements TargetProvider {
  @Override
  public Set<String> schemes() {
    return Set.of("nbd", "nbd+unix");
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
    NbdConnection first = dialer.dial(context.eventLoop(), true);
    try {
      return new NbdTarget(dialer, options, context.eventLoop(), first);
    } catch (TargetOpenException e) {
      first.close();
      throw e;
    }
  }
}
