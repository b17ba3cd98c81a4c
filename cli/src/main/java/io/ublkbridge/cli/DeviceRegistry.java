package io.ublkbridge.cli;

import static java.nio.file.StandardCopyOption.ATOMIC_MOVE;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/// The devices of this machine that ublk-bridge made, as their state files tell.
///
/// Each server owns its device's files and takes them away when it ends; those of a server that
/// died go to the server that takes the device over, or are cleaned up by whoever finds it dead.
final class DeviceRegistry {
  /// What is the matter with a device, told from the outside.
  enum Health {
    /// The server is about to start or to stop it.
    CHANGING,
    LIVE,
    /// Another server is about to go on with it.
    RECOVERING,
    /// Its server is gone, and its I/O waits for another.
    LOST,
    /// Its server is gone, and the disk with it.
    DEAD;

    String word() {
      return name().toLowerCase(java.util.Locale.ROOT);
    }
  }

  private static final Pattern STATE_FILE = Pattern.compile("(\\d{1,7})\\.json");
  private static final Pattern DEVICE = Pattern.compile("(?:(?:/dev/)?ublkb)?(\\d{1,7})");

  private final Host host;
  private final ProcessTable processes;

  DeviceRegistry(Host host) {
    this.host = host;
    this.processes = new ProcessTable(host.proc());
  }

  /// Every device, by id. A file that cannot be read as a state file is skipped: it is either being
  /// removed at this moment or not ours.
  List<DeviceRecord> all() {
    List<DeviceRecord> records = new ArrayList<>();
    try (DirectoryStream<Path> files = Files.newDirectoryStream(host.run(), "*.json")) {
      for (Path file : files) {
        if (STATE_FILE.matcher(file.getFileName().toString()).matches()) {
          read(file).ifPresent(records::add);
        }
      }
    } catch (NoSuchFileException | NotDirectoryException none) {
      return List.of();
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
    records.sort(Comparator.comparingInt(DeviceRecord::id));
    return records;
  }

  /// The device with this name, else the one that `/dev/ublkbN`, `ublkbN` or `N` means.
  Optional<DeviceRecord> find(String nameOrDevice) {
    Optional<DeviceRecord> named = named(nameOrDevice);
    if (named.isPresent()) {
      return named;
    }
    Matcher device = DEVICE.matcher(nameOrDevice);
    return device.matches() ? byId(Integer.parseInt(device.group(1))) : Optional.empty();
  }

  /// The same, for those who cannot do without.
  ///
  /// @throws CommandFailure if there is none
  DeviceRecord require(String nameOrDevice) throws CommandFailure {
    return find(nameOrDevice).orElseThrow(() -> noSuchDevice(nameOrDevice));
  }

  static CommandFailure noSuchDevice(String device) {
    return new CommandFailure(
        ExitCode.NO_SUCH_DEVICE,
        "no such device: '" + device + "' is not attached by ublk-bridge",
        "ublk-bridge list");
  }

  /// The device with this name; a living one before one whose server is gone.
  Optional<DeviceRecord> named(String name) {
    return all().stream()
        .filter(record -> record.name().equals(name))
        .min(Comparator.comparing(this::health));
  }

  Optional<DeviceRecord> byId(int id) {
    return read(stateFile(id));
  }

  Health health(DeviceRecord record) {
    boolean disk = record.disk() != null && Files.exists(host.sysBlock(record.id()));
    DeviceRecord.Recovery recovery = record.recovery();
    if (!processes.alive(record.server())) {
      return disk && recovery != null ? Health.LOST : Health.DEAD;
    }
    if (recovery != null && recovery.underWay()) {
      return Health.RECOVERING;
    }
    return disk ? Health.LIVE : Health.CHANGING;
  }

  boolean serverAlive(DeviceRecord record) {
    return processes.alive(record.server());
  }

  /// Writes the state file so that a reader sees the old or the new one, never a part.
  void write(DeviceRecord record) throws IOException {
    Files.createDirectories(host.run());
    Path udev = udevFile(record.id());
    if (Files.notExists(udev)) {
      Files.writeString(udev, "UBLK_BRIDGE_NAME=" + record.name() + "\n");
    }
    Path draft = host.run().resolve(record.id() + ".json.new");
    Files.writeString(draft, record.toJson() + "\n");
    Files.move(draft, stateFile(record.id()), ATOMIC_MOVE);
  }

  /// Keeps all others from changing records, until closed. For processes: threads of one must not
  /// meet here.
  ///
  /// The lock is on the one file that every server has, so that none of ours is left behind.
  FileChannel lock() throws IOException {
    FileChannel channel = FileChannel.open(host.control(), StandardOpenOption.WRITE);
    try {
      var _ = channel.lock();
      return channel;
    } catch (IOException | RuntimeException e) {
      channel.close();
      throw e;
    }
  }

  /// Says why nobody may take a device over any more, or that somebody may again.
  void bar(int id, @Nullable String why) throws IOException {
    try (var _ = lock()) {
      Optional<DeviceRecord> present = byId(id);
      if (present.isPresent()) {
        write(present.get().barred(why));
      }
    }
  }

  /// Removes what is left of a device's files, if they are this record's.
  void remove(DeviceRecord record) throws IOException {
    Optional<DeviceRecord> present = byId(record.id());
    if (present.isPresent() && !present.get().server().equals(record.server())) {
      return;
    }
    Files.deleteIfExists(socket(record.id()));
    Files.deleteIfExists(udevFile(record.id()));
    Files.deleteIfExists(host.run().resolve(record.id() + ".json.new"));
    try (DirectoryStream<Path> journals =
        Files.newDirectoryStream(host.run(), record.id() + ".journal*")) {
      for (Path journal : journals) {
        Files.deleteIfExists(journal);
      }
    } catch (NoSuchFileException none) {
      return;
    }
    Files.deleteIfExists(stateFile(record.id()));
  }

  Path stateFile(int id) {
    return host.run().resolve(id + ".json");
  }

  /// What our udev rules read when the disk appears: its name, for the link `/dev/ublk/NAME`.
  private Path udevFile(int id) {
    return host.run().resolve("ublkb" + id + ".env");
  }

  Path socket(int id) {
    return host.run().resolve(id + ".sock");
  }

  /// Where a server keeps what the next one needs to know of acknowledged writes. What begins with
  /// the same name is of the same device.
  Path journal(int id) {
    return host.run().resolve(id + ".journal");
  }

  Path log(int id) {
    return host.logs().resolve(id + ".log");
  }

  private static Optional<DeviceRecord> read(Path file) {
    try {
      return Optional.of(DeviceRecord.ofJson(Files.readString(file)));
    } catch (IOException gone) {
      return Optional.empty();
    }
  }
}
