package io.ublkbridge.nbd;

import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetProvider;
import io.ublkbridge.target.TargetUri;
import java.util.Set;

/// Opens exports of NBD servers, over TCP and over Unix sockets, plain or with TLS.
public final class NbdTargetProvider implements TargetProvider {
  @Override
  public Set<String> schemes() {
    return Set.of("nbd", "nbd+unix", "nbds", "nbds+unix");
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
    NbdConnection first = dialer.dial(context.eventLoop(), true);
    try {
      return new NbdTarget(dialer, options, first);
    } catch (TargetOpenException e) {
      first.close();
      throw e;
    }
  }
}
