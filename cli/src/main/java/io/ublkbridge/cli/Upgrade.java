package io.ublkbridge.cli;

import io.ublkbridge.cli.ServerRequest.Task;
import io.ublkbridge.kernel.Deadline;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;

/// Has the server of one device hand it over to a new one. All that can be known is found out
/// before anything changes, and the new server is ready before the old one is asked to go.
///
/// An interrupt ends only the waiting: a server that was started goes on.
final class Upgrade {
  /// What is left for another attempt, where the first has used up all of the time.
  private static final Duration LAST_ATTEMPT = Duration.ofSeconds(60);

  private final Host host;
  private final DeviceRecord record;
  private final Deadline deadline;
  private final ServerStarter starter;
  private final DeviceRegistry registry;

  Upgrade(Host host, DeviceRecord record, Deadline deadline, ServerStarter starter) {
    this.host = host;
    this.record = record;
    this.deadline = deadline;
    this.starter = starter;
    this.registry = new DeviceRegistry(host);
  }

  /// Returns once the new server serves.
  ///
  /// @return how long I/O had to wait
  Duration upgrade() throws CommandFailure {
    String log = requirePossible();
    requireRemote();
    new HostCheck(host).requireAble(Task.UPGRADE.what(record.name()));
    try {
      DaemonProcess server =
          starter.start(
              ServerRequest.toGoOn(
                  record, Task.UPGRADE, deadline, MountNamespace.present(host.proc())),
              Path.of(log));
      return switch (server.next(deadline)) {
        case null -> undone(server, failure(ExitCode.TIMED_OUT, "not done in time", "--timeout"));
        case ServerReport.Ready(_, Duration pause) -> pause;
        case ServerReport.Failed(CommandFailure failure) -> undone(server, failure);
        case ServerReport.Added _, ServerReport.Died _ ->
            undone(server, failure(ExitCode.FAILURE, "its next server died", "look into " + log));
      };
    } catch (IOException e) {
      throw new CommandFailure(
          ExitCode.FAILURE,
          Task.UPGRADE.what(record.name()) + ": " + e.getMessage(),
          "ublk-bridge doctor",
          e);
    }
  }

  /// @return where the servers of the device write what they have to say
  private String requirePossible() throws CommandFailure {
    switch (registry.health(record)) {
      case LIVE -> {}
      case CHANGING, RECOVERING ->
          throw failure(ExitCode.BUSY, "another server is about to start or to stop", "try again");
      case LOST ->
          throw failure(
              ExitCode.FAILURE,
              "its server is gone",
              "ublk-bridge recover " + record.name() + " starts one of the installed version");
      case DEAD ->
          throw failure(
              ExitCode.FAILURE,
              "its server is gone, and the disk with it",
              "ublk-bridge detach " + record.name() + ", then attach it again");
    }
    if (record.recovery() == null) {
      throw failure(
          ExitCode.FAILURE,
          "its disk ends with its server (memory:, --overlay or --no-recovery)",
          "detach it, then attach it again");
    }
    if (record.log() == null) {
      throw failure(
          ExitCode.FAILURE,
          "whoever attached it with --foreground watches its server",
          "end that one, then attach it again");
    }
    return record.log();
  }

  /// What was written must reach the remote before another server goes on.
  private void requireRemote() throws CommandFailure {
    try {
      JsonObject status = new ServerConnection(registry.socket(record.id())).status();
      if (status.has("outage")) {
        throw failure(
            ExitCode.UNREACHABLE,
            status.object("outage").text("why"),
            "upgrade it when the remote is back");
      }
    } catch (IOException e) {
      throw new CommandFailure(
          ExitCode.FAILURE,
          Task.UPGRADE.what(record.name()) + ": " + e.getMessage(),
          "look into " + record.log(),
          e);
    }
  }

  /// After a failure: who serves the device now?
  ///
  /// @return how long I/O had to wait until it was served nevertheless
  private Duration undone(DaemonProcess server, CommandFailure failure)
      throws CommandFailure, IOException {
    server.kill();
    Optional<DeviceRecord> present;
    // Under the lock the old server looks whether the new one lives, and hands the device to it.
    try (FileChannel _ = registry.lock()) {
      present = registry.byId(record.id());
    }
    if (present.isPresent() && present.get().server().equals(record.server())) {
      throw failure;
    }
    Instant waiting =
        present
            .map(DeviceRecord::recovery)
            .map(DeviceRecord.Recovery::handedOver)
            .orElseGet(Instant::now);
    try {
      Deadline rest = deadline.remaining().isZero() ? Deadline.after(LAST_ATTEMPT) : deadline;
      new Takeover(host, present.orElse(record), rest, starter, false).recover();
      return Duration.between(waiting, Instant.now());
    } catch (CommandFailure again) {
      failure.addSuppressed(again);
      throw new CommandFailure(
          failure.exitCode(),
          failure.message() + "; the old server is gone, and I/O waits",
          "when the cause is gone: ublk-bridge recover " + record.name(),
          failure);
    }
  }

  private CommandFailure failure(ExitCode exitCode, String reason, String remedy) {
    return new CommandFailure(exitCode, Task.UPGRADE.what(record.name()) + ": " + reason, remedy);
  }
}
