package io.ublkbridge.cli;

import io.ublkbridge.device.DeviceOptions;
import java.time.Duration;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// What `attach` was told, checked as far as words can be.
///
/// @param name as given, or null to derive one
/// @param targetOptions the options that belong to the target, by long name without dashes
/// @param timeout for the whole of it, until the disk can be used
record AttachRequest(
    String source,
    @Nullable String name,
    DeviceOptions device,
    Map<String, String> targetOptions,
    Duration timeout,
    boolean foreground) {

  /// How failures begin.
  String what() {
    return "cannot attach " + source;
  }
}
