package io.ublkbridge.target;

import io.netty.channel.IoEventLoop;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;

/// What a target is given to open itself.
///
/// @param eventLoop an io_uring loop for what must happen before there are queues; it is the loop
///   of queue 0
/// @param readOnly whether the device will be read-only whatever the target allows
/// @param timeout how long opening may take
/// @param options the command's options that belong to targets, by long name without dashes
///   (`connections`); a provider rejects a value it cannot use and ignores names it does not know
public record OpenContext(
    IoEventLoop eventLoop, boolean readOnly, Duration timeout, Map<String, String> options) {

  public OpenContext {
    options = Map.copyOf(options);
  }

  public Optional<String> option(String name) {
    return Optional.ofNullable(options.get(name));
  }
}
