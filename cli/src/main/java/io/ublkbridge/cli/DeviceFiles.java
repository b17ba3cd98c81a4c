package io.ublkbridge.cli;

import static java.nio.file.StandardCopyOption.REPLACE_EXISTING;

import io.ublkbridge.cli.DeviceRegistry.Health;
import io.ublkbridge.device.UblkDevice;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Geometry;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// The files of the device that this process serves: state, control socket and log. Confined to the
/// main thread, and to the shutdown hook after it.
final class DeviceFiles {
  private static final Logger log = LoggerFactory.getLogger(DeviceFiles.class);

  private final ServerRequest request;
  private final DeviceRegistry registry;
  private final ProcessTable processes;
  private @Nullable DeviceRecord record;

  DeviceFiles(Host host, ServerRequest request) {
    this.request = request;
    this.registry = new DeviceRegistry(host);
    this.processes = new ProcessTable(host.proc());
  }

  /// The device has got its id: claims the name, says whose the device is, names the log after it.
  ///
  /// @throws NameTakenException if another device has the name
  void added(int id) {
    try {
      String logFile = nameLog(id);
      DeviceRecord added =
          new DeviceRecord(
              id,
              request.name(),
              request.source(),
              processes.identify(ProcessHandle.current().pid()),
              Instant.now(),
              logFile,
              request.targetOptions(),
              null,
              null);
      // Two servers that start at once must not both find the name free.
      try (var _ = registry.lock()) {
        Optional<DeviceRecord> owner =
            registry.named(request.name()).filter(other -> registry.health(other) != Health.DEAD);
        if (owner.isPresent()) {
          throw new NameTakenException(request.name(), owner.get());
        }
        registry.write(added);
        record = added;
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /// The disk is served.
  DeviceRecord live(UblkDevice device, BlockTarget target) throws IOException {
    if (record == null) {
      throw new IllegalStateException("a device without an id is served");
    }
    Geometry geometry = target.geometry();
    int blockBytes = Math.max(geometry.blockBytes(), request.device().blockBytes());
    DeviceRecord live =
        record.with(
            new DeviceRecord.Disk(
                geometry.sizeBytes() / blockBytes * blockBytes,
                blockBytes,
                device.info().maxIoBytes(),
                device.info().queues(),
                device.info().depth(),
                target.capabilities().readOnly() || request.device().readOnly()),
            device.recoverable() ? recovery(device, target) : null);
    registry.write(live);
    record = live;
    return live;
  }

  private static DeviceRecord.Recovery recovery(UblkDevice device, BlockTarget target) {
    String identity = target.succession().orElseThrow().identity();
    return new DeviceRecord.Recovery(device.info().mark(), identity, 0, false, null);
  }

  /// Makes the device this process's own, to take it over.
  ///
  /// @throws CommandFailure if another server has it, or nobody may
  DeviceRecord claim(int id) throws CommandFailure, IOException {
    try (var _ = registry.lock()) {
      DeviceRecord present =
          registry.byId(id).orElseThrow(() -> DetachCommand.noSuchDevice(Integer.toString(id)));
      if (registry.serverAlive(present)) {
        throw new CommandFailure(
            ExitCode.BUSY,
            request.what() + ": it has a server (process " + present.server().pid() + ")",
            "ublk-bridge status " + present.name());
      }
      Takeover.requireAllowed(present);
      String log = present.log() == null ? registry.log(id).toString() : present.log();
      DeviceRecord claimed =
          present.claimedBy(processes.identify(ProcessHandle.current().pid()), log);
      registry.write(claimed);
      record = claimed;
      return claimed;
    }
  }

  /// The device is taken over.
  DeviceRecord recovered() throws IOException {
    if (record == null) {
      throw new IllegalStateException("a device that was not claimed is taken over");
    }
    DeviceRecord recovered = record.recovered();
    registry.write(recovered);
    record = recovered;
    return recovered;
  }

  /// Lets nobody take the device over any more.
  void bar(String why) throws IOException {
    if (record != null) {
      registry.bar(record.id(), why);
    }
  }

  Path socket() {
    if (record == null) {
      throw new IllegalStateException("a device without an id has no socket");
    }
    return registry.socket(record.id());
  }

  /// Removes state and socket; the log stays for whoever wants to know why.
  void remove() {
    if (record == null) {
      return;
    }
    try {
      registry.remove(record);
    } catch (IOException e) {
      log.warn("cannot remove {}", registry.stateFile(record.id()), e);
    }
  }

  /// Removes the log of a server that ended as it should.
  void removeLog() {
    if (record == null || record.log() == null) {
      return;
    }
    try {
      Files.deleteIfExists(Path.of(record.log()));
    } catch (IOException e) {
      log.warn("cannot remove {}", record.log(), e);
    }
  }

  private @Nullable String nameLog(int id) throws IOException {
    if (request.log() == null) {
      return null;
    }
    Path named = registry.log(id);
    Files.move(Path.of(request.log()), named, REPLACE_EXISTING);
    return named.toString();
  }
}
