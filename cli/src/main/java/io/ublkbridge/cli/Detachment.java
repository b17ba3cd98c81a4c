package io.ublkbridge.cli;

import io.ublkbridge.kernel.ControlDevice;
import io.ublkbridge.kernel.Deadline;
import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.UblkException;
import io.ublkbridge.target.Durations;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/// Takes one device away: makes sure that nobody uses it, flushes it, asks its server to stop, and
/// waits until disk, server and files are gone.
final class Detachment {
  private static final Duration FLUSH_DEADLINE = Duration.ofMinutes(10);
  private static final Duration POLL = Duration.ofMillis(500);
  private static final Duration STOP_DEADLINE = Duration.ofMinutes(6);
  private static final Duration FORCED_STOP_DEADLINE = Duration.ofSeconds(15);
  private static final Duration PASSING_USE_DEADLINE = Duration.ofSeconds(5);

  private static final String BEING_DETACHED = "it is being detached";

  private final Host host;
  private final DeviceRecord record;
  private final boolean force;
  private final DeviceRegistry registry;

  Detachment(Host host, DeviceRecord record, boolean force) {
    this.host = host;
    this.record = record;
    this.force = force;
    this.registry = new DeviceRegistry(host);
  }

  void detach() throws CommandFailure {
    switch (registry.health(record)) {
      case DEAD -> {
        clearWreck();
        return;
      }
      case LOST -> {
        detachLost();
        return;
      }
      case RECOVERING -> {
        if (!force) {
          throw failure(
              ExitCode.BUSY,
              "another server is about to go on with it",
              "detach again, or --force");
        }
      }
      case CHANGING, LIVE -> {}
    }
    if (!force && Files.exists(host.disk(record.id()))) {
      requireUnused();
      flush();
      requireUnused();
    }
    bar(BEING_DETACHED);
    if (!stopServer(force ? FORCED_STOP_DEADLINE : STOP_DEADLINE)) {
      if (!force) {
        bar(null);
        throw failure(
            ExitCode.TIMED_OUT,
            "its server does not stop (process " + record.server().pid() + ")",
            "look into " + record.log() + ", or detach --force, which may lose data");
      }
      killServer();
      clearWreck();
    }
  }

  /// Nothing can be written back without a server, so a user must not lose it: only what nobody
  /// uses goes without force.
  private void detachLost() throws CommandFailure {
    if (!force) {
      Optional<DeviceUse> use = use();
      if (use.isPresent()) {
        throw failure(
            ExitCode.BUSY,
            use.get().text() + ", and its server is gone",
            "ublk-bridge recover "
                + record.name()
                + "; or detach --force, which fails all I/O that waits");
      }
    }
    bar(BEING_DETACHED);
    clearWreck();
  }

  /// Nobody starts another server for what goes away.
  ///
  /// @param why null takes it back
  private void bar(@Nullable String why) throws CommandFailure {
    try {
      registry.bar(record.id(), why);
    } catch (IOException e) {
      throw new CommandFailure(
          ExitCode.FAILURE,
          "cannot detach " + record.name() + ": " + e.getMessage(),
          "ublk-bridge doctor",
          e);
    }
  }

  private void requireUnused() throws CommandFailure {
    Optional<DeviceUse> use = use();
    if (use.isPresent()) {
      throw failure(ExitCode.BUSY, use.get().text(), use.get().remedy() + ", then detach again");
    }
  }

  /// Who uses it, and not just for a moment.
  private Optional<DeviceUse> use() {
    DeviceUsers users = new DeviceUsers(host);
    Optional<DeviceUse> use = users.first(record.id());
    if (use.isPresent() && use.get().passing()) {
      Deadline deadline = Deadline.after(PASSING_USE_DEADLINE);
      new Udev(host).settle(deadline.remaining());
      do {
        use = users.first(record.id());
      } while (use.isPresent() && use.get().passing() && deadline.pause());
    }
    return use;
  }

  /// Stopping flushes too, but nobody would hear of an error there.
  ///
  /// Another program flushes, because whoever waits for a disk cannot be ended before the disk
  /// answers.
  private void flush() throws CommandFailure {
    if (remoteIsLost()) {
      // Nothing waits and nothing is unflushed, so there is nothing to write back either.
      return;
    }
    Process sync = Tool.start(Path.of("/"), "sync", host.disk(record.id()).toString());
    Deadline deadline = Deadline.after(FLUSH_DEADLINE);
    try {
      while (!sync.waitFor(POLL.toMillis(), TimeUnit.MILLISECONDS)) {
        remoteIsLost();
        if (deadline.remaining().isZero()) {
          throw failure(
              ExitCode.TIMED_OUT,
              "its data was not written back within " + Durations.format(FLUSH_DEADLINE),
              "detach again to wait longer, or detach --force, which loses data");
        }
      }
      if (sync.exitValue() != 0) {
        String said = new String(sync.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        throw failure(
            ExitCode.FAILURE,
            "its data cannot be written back: " + said.strip(),
            "look into " + record.log() + ", or detach --force, which loses data");
      }
    } catch (IOException e) {
      throw new CommandFailure(ExitCode.FAILURE, "cannot read what sync says", null, e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw failure(ExitCode.FAILURE, "interrupted", "detach again");
    }
  }

  /// Whether what is behind the disk is gone, and nothing is held up by that.
  ///
  /// @throws CommandFailure if something is
  private boolean remoteIsLost() throws CommandFailure {
    JsonObject outage;
    try {
      JsonObject status = new ServerConnection(registry.socket(record.id())).status();
      if (!status.has("outage")) {
        return false;
      }
      outage = status.object("outage");
    } catch (IOException cannotBeAsked) {
      return false;
    }
    try {
      long waiting = outage.number("requestsWaiting");
      long unflushed = outage.number("unflushedWrites");
      if (waiting == 0 && unflushed == 0) {
        return true;
      }
      throw failure(
          ExitCode.UNREACHABLE,
          outage.text("why")
              + "; "
              + waiting
              + " requests wait and "
              + unflushed
              + " writes are not flushed",
          "detach again when the server is back, or detach --force, which loses them");
    } catch (IOException e) {
      throw new CommandFailure(ExitCode.FAILURE, "the server's status is not understood", null, e);
    }
  }

  /// Whether all of it is gone before the deadline.
  private boolean stopServer(Duration patience) throws CommandFailure {
    try {
      ServerConnection server = new ServerConnection(registry.socket(record.id()));
      if (!force) {
        stopUnlessOpen(server);
      } else if (!stopInPlaceOf(server, patience)) {
        return false;
      }
    } catch (IOException cannotBeAsked) {
      // A signal is heard by a server whose socket is gone; one that hangs will not end by either.
      ProcessHandle.of(record.server().pid())
          .filter(process -> registry.serverAlive(record))
          .ifPresent(ProcessHandle::destroy);
    }
    Deadline deadline = Deadline.after(patience);
    while (registry.serverAlive(record)) {
      if (!deadline.pause()) {
        return false;
      }
    }
    boolean nothingLeft =
        !Files.exists(host.disk(record.id())) && !Files.exists(registry.stateFile(record.id()));
    return nothingLeft || new Wreck(host, registry).clear(record.id());
  }

  /// Stops the device by a command of this process. A server that is killed while its own command
  /// waits in the kernel cannot end: the command waits for requests that only its end would fail.
  ///
  /// @return false if requests hold that up for longer
  private boolean stopInPlaceOf(ServerConnection server, Duration patience) throws IOException {
    server.expectStop();
    try (ControlDevice control = ControlDevice.open()) {
      control.stop(record.id(), patience);
      return true;
    } catch (UblkException e) {
      // The server has deleted the device already, or it hangs.
      return e.errno() == Errno.ENODEV;
    }
  }

  /// The kernel alone knows of whoever opens the disk after we have looked. It may be udev again.
  private void stopUnlessOpen(ServerConnection server) throws CommandFailure, IOException {
    Deadline passing = Deadline.after(PASSING_USE_DEADLINE);
    while (!server.stopUnlessOpen(STOP_DEADLINE)) {
      if (!passing.pause()) {
        bar(null);
        requireUnused();
        throw failure(ExitCode.BUSY, "somebody has just opened it", "detach again");
      }
    }
  }

  private void killServer() {
    ProcessHandle.of(record.server().pid())
        .filter(process -> registry.serverAlive(record))
        .ifPresent(ProcessHandle::destroyForcibly);
    Deadline deadline = Deadline.after(FORCED_STOP_DEADLINE);
    while (registry.serverAlive(record) && deadline.pause()) {
      // The kernel lets go of the device when the process has ended.
    }
  }

  private void clearWreck() throws CommandFailure {
    if (!new Wreck(host, registry).clear(record.id())) {
      throw failure(
          ExitCode.FAILURE,
          "its server is gone and the kernel does not give it up",
          "look into the kernel's log (dmesg)");
    }
  }

  private CommandFailure failure(ExitCode exitCode, String reason, String remedy) {
    return new CommandFailure(exitCode, "cannot detach " + record.name() + ": " + reason, remedy);
  }
}
