package io.ublkbridge.cli;

import io.ublkbridge.device.DeviceState;
import io.ublkbridge.device.UblkDevice;
import io.ublkbridge.kernel.ControlDevice;
import io.ublkbridge.kernel.Deadline;
import io.ublkbridge.kernel.UblkException;
import java.io.IOException;
import java.nio.file.Files;
import java.time.Duration;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// What a server that died leaves: a device without a server, and files.
record Wreck(Host host, DeviceRegistry registry) {
  private static final Logger log = LoggerFactory.getLogger(Wreck.class);
  private static final Duration DEADLINE = Duration.ofSeconds(30);

  /// Removes device and files; what cannot be removed is logged.
  ///
  /// @return whether nothing is left
  boolean clear(int id) {
    Optional<DeviceRecord> record = registry.byId(id);
    try {
      deleteDevice(id, record.map(DeviceRecord::recovery).orElse(null));
      if (record.isPresent()) {
        registry.remove(record.get());
      }
      return true;
    } catch (UblkException | IOException e) {
      log.error("cannot clean up device {}: {}", id, e.getMessage());
      return false;
    }
  }

  /// @param recovery by which the device is known, if it is
  private void deleteDevice(int id, DeviceRecord.@Nullable Recovery recovery) {
    if (!Files.exists(host.charDevice(id))) {
      return;
    }
    try (ControlDevice control = ControlDevice.open()) {
      DeviceState state = UblkDevice.state(control, id);
      // The kernel notices the end of a server a moment later; a device that stays live has
      // another server by now.
      Deadline deadline = Deadline.after(Duration.ofSeconds(5));
      while (state == DeviceState.LIVE && deadline.pause()) {
        state = UblkDevice.state(control, id);
      }
      if (state != null && recovery != null && control.info(id).mark() != recovery.mark()) {
        log.warn("device {} is not the one that was here: it stays", id);
      } else if (state != null) {
        UblkDevice.forceDelete(control, id, DEADLINE);
      }
    }
  }
}
