package io.ublkbridge.cli;

import io.ublkbridge.cli.DeviceRegistry.Health;
import io.ublkbridge.device.DeviceOptions;
import io.ublkbridge.kernel.Deadline;
import io.ublkbridge.target.Durations;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/// Makes a device: everything that can be known is checked first, then a server is started and
/// watched until its disk can be used. A failure at any point leaves no device, process or file.
final class Attachment {
  private static final String OVERLAY = "overlay";

  private final Host host;
  private final AttachRequest request;
  private final ServerStarter starter;
  private final DeviceRegistry registry;
  private final Deadline deadline;
  private @Nullable DaemonProcess server;
  private int addedId = DeviceOptions.ANY_ID;
  private @Nullable Path log;

  Attachment(Host host, AttachRequest request, ServerStarter starter) {
    this.host = host;
    this.request = request;
    this.starter = starter;
    this.registry = new DeviceRegistry(host);
    this.deadline = Deadline.after(request.timeout());
  }

  /// The disk's path, once it can be used; of the device that is there already, if it is the same.
  String attach() throws CommandFailure {
    Optional<DeviceRecord> present = present();
    if (present.isPresent()) {
      return recovered(present.get());
    }
    String name = freeName();
    requireFreeId();
    new HostCheck(host).requireAble(request.what());
    clearDead(name);
    Thread undo = new Thread(this::undo, "undo");
    Runtime.getRuntime().addShutdownHook(undo);
    try {
      int id = startServer(name);
      awaitUsable(id);
      Runtime.getRuntime().removeShutdownHook(undo);
      return host.disk(id).toString();
    } catch (CommandFailure failure) {
      undo();
      if (failure.exitCode() == ExitCode.TAKEN && present().isPresent()) {
        return present().orElseThrow().device();
      }
      throw failure;
    }
  }

  /// The path of a device that was there before; if its server is gone it gets another one first.
  private String recovered(DeviceRecord record) throws CommandFailure {
    Takeover takeover = new Takeover(host, record, deadline, starter, request.foreground());
    String path = takeover.recover();
    server = takeover.server();
    return path;
  }

  /// The server that [#attach] has started, or null if the device was there before.
  @Nullable DaemonProcess server() {
    return server;
  }

  /// The device that already is what is asked for.
  private Optional<DeviceRecord> present() throws CommandFailure {
    if (request.name() == null && !DeviceName.namesPlace(request.source())) {
      return Optional.empty();
    }
    String name = request.name() != null ? request.name() : DeviceName.of(request.source());
    for (DeviceRecord record : registry.all()) {
      boolean named =
          request.name() != null
              ? record.name().equals(name)
              : record.name().equals(name) || record.name().startsWith(name + "-");
      if (named && isDisk(registry.health(record))) {
        if (sameDisk(record)) {
          return Optional.of(record);
        }
        if (request.name() != null) {
          throw taken("the name '" + name + "' belongs to " + describe(record), "--name");
        }
      }
    }
    return Optional.empty();
  }

  private static boolean isDisk(Health health) {
    return switch (health) {
      case LIVE, RECOVERING, LOST -> true;
      case CHANGING, DEAD -> false;
    };
  }

  /// One source with another overlay, or with none, is another disk.
  private boolean sameDisk(DeviceRecord record) {
    return record.source().equals(request.source())
        && Objects.equals(record.options().get(OVERLAY), request.targetOptions().get(OVERLAY));
  }

  private String freeName() throws CommandFailure {
    List<DeviceRecord> living =
        registry.all().stream().filter(record -> registry.health(record) != Health.DEAD).toList();
    if (request.name() == null) {
      return DeviceName.free(
          DeviceName.of(request.source()),
          name -> living.stream().anyMatch(record -> record.name().equals(name)));
    }
    for (DeviceRecord record : living) {
      if (record.name().equals(request.name())) {
        throw taken("the name '" + request.name() + "' belongs to " + describe(record), "--name");
      }
    }
    return request.name();
  }

  /// A device that ended with its server and whose name is wanted again makes room for the new one.
  private void clearDead(String name) {
    for (DeviceRecord record : registry.all()) {
      if (record.name().equals(name) && registry.health(record) == Health.DEAD) {
        new Wreck(host, registry).clear(record.id());
      }
    }
  }

  private void requireFreeId() throws CommandFailure {
    int id = request.device().id();
    if (id != DeviceOptions.ANY_ID && Files.exists(host.charDevice(id))) {
      String owner = registry.byId(id).map(Attachment::describe).orElse("another program");
      throw taken("the id " + id + " belongs to " + owner, "--id, or none");
    }
  }

  private CommandFailure taken(String reason, String option) {
    return new CommandFailure(
        ExitCode.TAKEN, request.what() + ": " + reason, "choose another one with " + option);
  }

  private static String describe(DeviceRecord record) {
    return record.device() + " (" + record.source() + ")";
  }

  private int startServer(String name) throws CommandFailure {
    try {
      if (!request.foreground()) {
        Files.createDirectories(host.logs());
        log = Files.createTempFile(host.logs(), ".attach-", ".log");
      }
      ServerRequest serverRequest =
          new ServerRequest(
              request.source(),
              name,
              request.device(),
              request.targetOptions(),
              ServerRequest.openUntil(deadline),
              log == null ? null : log.toString(),
              MountNamespace.present(host.proc()),
              ServerRequest.Task.ATTACH);
      DaemonProcess server = starter.start(serverRequest, log);
      this.server = server;
      return awaitReady(server);
    } catch (IOException e) {
      throw new CommandFailure(
          ExitCode.FAILURE, request.what() + ": " + e.getMessage(), "ublk-bridge doctor", e);
    }
  }

  private int awaitReady(DaemonProcess server) throws CommandFailure {
    while (true) {
      switch (server.next(deadline)) {
        case null -> throw timedOut();
        case ServerReport.Added(int id) -> addedId = id;
        case ServerReport.Ready(int id, _) -> {
          return id;
        }
        case ServerReport.Failed(CommandFailure failure) -> throw failure;
        case ServerReport.Died _ -> throw died();
      }
    }
  }

  private CommandFailure timedOut() {
    return new CommandFailure(
        ExitCode.TIMED_OUT,
        request.what() + ": not done within " + Durations.format(request.timeout()),
        "is the remote slow? --timeout gives it longer");
  }

  private CommandFailure died() {
    String last = LogFile.lastLine(addedId < 0 ? log : registry.log(addedId));
    return new CommandFailure(
        ExitCode.FAILURE,
        request.what() + ": its server died" + (last.isEmpty() ? "" : ", last saying: " + last),
        "ublk-bridge attach --foreground shows all that it says");
  }

  /// Waits for the node, and for what udev and the kernel make of the disk: its partitions, links.
  private void awaitUsable(int id) throws CommandFailure {
    while (!Files.exists(host.disk(id)) || !Files.isReadable(host.disk(id))) {
      if (!deadline.pause()) {
        throw timedOut();
      }
    }
    if (request.device().partitionScan()) {
      new PartitionScan(host, id).await(deadline);
    }
    new Udev(host).settle(deadline.remaining());
    if (!Files.exists(host.disk(id))) {
      // Its first reader may have been the end of the server.
      throw died();
    }
  }

  /// Takes everything back. Also runs as the shutdown hook of a command that is interrupted.
  private synchronized void undo() {
    if (server != null) {
      server.kill();
    }
    if (addedId >= 0) {
      new Wreck(host, registry).clear(addedId);
    }
    try {
      if (log != null) {
        Files.deleteIfExists(log);
      }
      if (addedId >= 0) {
        Files.deleteIfExists(registry.log(addedId));
      }
    } catch (IOException stays) {
      // The log may stay where it cannot be removed; there is nobody left to tell.
    }
  }
}
