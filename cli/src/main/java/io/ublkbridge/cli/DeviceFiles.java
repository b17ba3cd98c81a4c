package io.ublkbridge.cli;

import static java.nio.file.StandardCopyOption.REPLACE_EXISTING;

import io.ublkbridge.cli.DeviceRegistry.Health;
import io.ublkbridge.cli.ProcessTable.Identity;
import io.ublkbridge.device.UblkDevice;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.SuccessionFile;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// The files of the device that this process serves: state, control socket, log, and what its
/// target keeps for the next server. Confined to the main thread, and to the shutdown hook after
/// it.
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
              self(),
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
    Geometry geometry = target.geometry();
    int blockBytes = Math.max(geometry.blockBytes(), request.device().blockBytes());
    DeviceRecord live =
        served()
            .with(
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

  private DeviceRecord.Recovery recovery(UblkDevice device, BlockTarget target) {
    String identity = target.succession().orElseThrow().identity();
    return new DeviceRecord.Recovery(device.info().mark(), identity, keepsJournal());
  }

  /// Where this server's target keeps what the next one needs to know.
  SuccessionFile successionFile() {
    DeviceRecord.Recovery recovery = served().recovery();
    boolean inherited = recovery != null && recovery.journal();
    return new SuccessionFile(registry.journal(served().id()), inherited);
  }

  private boolean keepsJournal() {
    return Files.exists(registry.journal(served().id()));
  }

  /// Asks the server that a device has to hand it over to this process, and waits until it has.
  ///
  /// @throws CommandFailure if it does not; it serves on as before then, or has died
  void receive(int id, Duration patience) throws CommandFailure, IOException {
    Identity self = self();
    String why = "";
    try {
      new ServerConnection(registry.socket(id)).handOver(self, patience);
    } catch (IOException e) {
      // A server that does so ends without a word more.
      why = String.valueOf(e.getMessage());
    }
    Optional<DeviceRecord> present;
    try (var _ = registry.lock()) {
      present = registry.byId(id);
    }
    if (present.isEmpty() || !present.get().server().equals(self)) {
      throw new CommandFailure(
          ExitCode.FAILURE,
          request.what() + ": " + why,
          "ublk-bridge status " + request.name() + " shows whether it is served as before");
    }
  }

  /// Hands the device, whose I/O waits, to another process. From now on it is not this one's.
  ///
  /// @param waiting since when
  /// @throws CommandFailure if there is no such process, or nobody may take the device over
  void handTo(Identity successor, Instant waiting) throws CommandFailure, IOException {
    try (var _ = registry.lock()) {
      DeviceRecord present =
          registry.byId(served().id()).orElseThrow(() -> new IOException("its record is gone"));
      // Whoever ends the successor looks at the record afterwards, under the same lock.
      if (!processes.alive(successor)) {
        throw new IOException("process " + successor.pid() + " has ended");
      }
      Takeover.requireAllowed(present);
      registry.write(present.handedTo(successor, waiting));
    }
  }

  private DeviceRecord served() {
    if (record == null) {
      throw new IllegalStateException("a device without an id is served");
    }
    return record;
  }

  private boolean handedToThis(DeviceRecord device) throws IOException {
    DeviceRecord.Recovery recovery = device.recovery();
    return recovery != null && recovery.handedOver() != null && device.server().equals(self());
  }

  private Identity self() throws IOException {
    return processes.identify(ProcessHandle.current().pid());
  }

  /// Makes the device this process's own, to take it over.
  ///
  /// @return what its record said before
  /// @throws CommandFailure if another server has it, or nobody may
  DeviceRecord claim(int id) throws CommandFailure, IOException {
    try (var _ = registry.lock()) {
      DeviceRecord present =
          registry.byId(id).orElseThrow(() -> DeviceRegistry.noSuchDevice(Integer.toString(id)));
      if (registry.serverAlive(present) && !handedToThis(present)) {
        throw new CommandFailure(
            ExitCode.BUSY,
            request.what() + ": it has a server (process " + present.server().pid() + ")",
            "ublk-bridge status " + present.name());
      }
      Takeover.requireAllowed(present);
      String log = present.log() == null ? registry.log(id).toString() : present.log();
      DeviceRecord claimed = present.claimedBy(self(), log);
      registry.write(claimed);
      record = claimed;
      return present;
    }
  }

  /// The device is taken over.
  ///
  /// @param afterDeath whether its last server had died
  DeviceRecord recovered(boolean afterDeath) throws IOException {
    DeviceRecord recovered = served().recovered(afterDeath, keepsJournal());
    registry.write(recovered);
    record = recovered;
    return recovered;
  }

  /// The disk has another size.
  DeviceRecord resized(long sizeBytes) throws IOException {
    try (var _ = registry.lock()) {
      DeviceRecord present =
          registry.byId(served().id()).orElseThrow(() -> new IOException("its record is gone"));
      DeviceRecord resized = present.resized(sizeBytes);
      registry.write(resized);
      record = resized;
      return resized;
    }
  }

  /// Lets nobody take the device over any more.
  void bar(String why) throws IOException {
    if (record != null) {
      registry.bar(record.id(), why);
    }
  }

  Path socket() {
    return registry.socket(served().id());
  }

  /// Removes state, socket and journal; the log stays for whoever wants to know why.
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
