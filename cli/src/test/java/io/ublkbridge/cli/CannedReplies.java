package io.ublkbridge.cli;

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
  public void stop() {
    stops.incrementAndGet();
  }
}
