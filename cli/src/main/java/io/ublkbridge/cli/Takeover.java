package io.ublkbridge.cli;

import io.ublkbridge.cli.DeviceRegistry.Health;
import io.ublkbridge.cli.ServerRequest.Task;
import io.ublkbridge.kernel.Deadline;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// Gives a device whose server is gone another one, and waits until its I/O goes on. Whatever goes
/// wrong, the device stays as it was: its I/O waits.
final class Takeover {
  private final Host host;
  private final DeviceRecord record;
  private final Deadline deadline;
  private final ServerStarter starter;
  private final boolean foreground;
  private final DeviceRegistry registry;
  private @Nullable DaemonProcess server;

  /// @param foreground whether the server speaks through this process, which waits for it
  Takeover(
      Host host,
      DeviceRecord record,
      Deadline deadline,
      ServerStarter starter,
      boolean foreground) {
    this.host = host;
    this.record = record;
    this.deadline = deadline;
    this.starter = starter;
    this.foreground = foreground;
    this.registry = new DeviceRegistry(host);
  }

  /// The disk's path, once it is served; also if it was, or somebody else sees to it.
  String recover() throws CommandFailure {
    Health health = awaitOthers();
    switch (health) {
      case LIVE -> {
        return record.device();
      }
      case CHANGING ->
          throw failure(ExitCode.BUSY, "it is being started or stopped", "look again: list");
      case RECOVERING ->
          throw failure(
              ExitCode.TIMED_OUT, "its next server is not ready yet", "wait longer: --timeout");
      case DEAD ->
          throw failure(
              ExitCode.FAILURE,
              "its disk ended with its server",
              "ublk-bridge detach " + record.name() + ", then attach it again");
      case LOST -> requireAllowed(record);
    }
    new HostCheck(host).requireAble("cannot recover " + record.name());
    Thread undo = new Thread(this::undo, "undo");
    Runtime.getRuntime().addShutdownHook(undo);
    try {
      String path = serve();
      Runtime.getRuntime().removeShutdownHook(undo);
      return path;
    } catch (CommandFailure failure) {
      undo();
      if (failure.exitCode() == ExitCode.BUSY && awaitOthers() == Health.LIVE) {
        return record.device();
      }
      throw failure;
    }
  }

  /// The server that [#recover] has started, or null if the device had one.
  @Nullable DaemonProcess server() {
    return server;
  }

  /// Makes sure that a device may be taken over, as far as its record tells.
  static void requireAllowed(DeviceRecord record) throws CommandFailure {
    DeviceRecord.Recovery recovery = record.recovery();
    if (recovery == null || recovery.barred() != null) {
      String why = recovery == null ? "its disk ended with its server" : recovery.barred();
      throw new CommandFailure(
          ExitCode.FAILURE,
          "cannot recover " + record.name() + ": " + why,
          "detach --force, which fails all I/O that waits; then check the file system");
    }
  }

  private Health awaitOthers() {
    Health health = health();
    while (health == Health.RECOVERING && deadline.pause()) {
      health = health();
    }
    return health;
  }

  private Health health() {
    return registry.byId(record.id()).map(registry::health).orElse(Health.DEAD);
  }

  private String serve() throws CommandFailure {
    Path log = foreground ? null : Path.of(logFile());
    try {
      if (log != null) {
        Files.createDirectories(Objects.requireNonNull(log.getParent()));
      }
      DaemonProcess started =
          starter.start(
              ServerRequest.toGoOn(
                  record, Task.RECOVER, deadline, MountNamespace.present(host.proc())),
              log);
      server = started;
      return switch (started.next(deadline)) {
        case null ->
            throw failure(ExitCode.TIMED_OUT, "not done in time", "is the remote slow? --timeout");
        case ServerReport.Ready _ -> host.disk(record.id()).toString();
        case ServerReport.Failed(CommandFailure failure) -> throw failure;
        case ServerReport.Added _, ServerReport.Died _ -> {
          String last = LogFile.lastLine(log);
          throw failure(
              ExitCode.FAILURE,
              "its next server died" + (last.isEmpty() ? "" : ", last saying: " + last),
              "look into " + logFile());
        }
      };
    } catch (IOException e) {
      throw new CommandFailure(
          ExitCode.FAILURE,
          "cannot recover " + record.name() + ": " + e.getMessage(),
          "ublk-bridge doctor",
          e);
    }
  }

  private String logFile() {
    return record.log() == null ? registry.log(record.id()).toString() : record.log();
  }

  /// A server that is not ready yet goes, and the device waits for the next one. Also runs as the
  /// shutdown hook of a command that is interrupted.
  private synchronized void undo() {
    if (server != null) {
      server.kill();
      server = null;
    }
  }

  private CommandFailure failure(ExitCode exitCode, String reason, String remedy) {
    return new CommandFailure(exitCode, "cannot recover " + record.name() + ": " + reason, remedy);
  }
}
