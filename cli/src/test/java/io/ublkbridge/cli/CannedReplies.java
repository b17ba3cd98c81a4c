package io.ublkbridge.cli;

import io.ublkbridge.cli.ProcessTable.Identity;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/// A server that says the same whenever it is asked for status or metrics.
record CannedReplies(Map<String, Object> said, AtomicInteger stops)
    implements ControlSocket.Replies {
  CannedReplies(Map<String, Object> said) {
    this(said, new AtomicInteger());
  }

  @Override
  public Map<String, Object> status() {
    return said;
  }

  @Override
  public Map<String, Object> metrics() {
    return said;
  }

  @Override
  public void expectStop() {
    stops.incrementAndGet();
  }

  @Override
  public boolean stopUnlessOpen() {
    stops.incrementAndGet();
    return said.isEmpty();
  }

  @Override
  public Map<String, Object> resize(boolean force) throws CommandFailure {
    if (!force) {
      throw new CommandFailure(ExitCode.UNREACHABLE, "cannot resize vol: x", "wait");
    }
    return Map.of("was", 64L << 20, "size", 32L << 20);
  }

  @Override
  public void handOver(Identity successor) throws CommandFailure {
    throw new CommandFailure(ExitCode.FAILURE, "not to process " + successor.pid(), null);
  }
}
