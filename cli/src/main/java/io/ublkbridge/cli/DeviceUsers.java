package io.ublkbridge.cli;

import java.io.IOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/// Finds who uses a disk or a partition of it: mounts in every namespace that can be seen, swap,
/// device mapper and md, loop devices, and processes that have it open.
///
/// The kernel itself has no such check before 7.0: it takes a disk away under a file system.
record DeviceUsers(Host host) {
  private static final Pattern HELD_BY_FIRMLY = Pattern.compile("dm-\\d+|md\\d+|bcache\\d+");

  /// The first user found, those that stay before those that may be passing.
  Optional<DeviceUse> first(int id) {
    Map<String, String> parts = parts(id);
    return mount(parts)
        .or(() -> swap(parts))
        .or(() -> holder(id, parts))
        .or(() -> loop(parts))
        .or(() -> process(parts));
  }

  /// The disk and its partitions: `major:minor` → name.
  private Map<String, String> parts(int id) {
    Map<String, String> parts = new HashMap<>();
    Path disk = host.sysBlock(id);
    number(disk).ifPresent(number -> parts.put(number, "ublkb" + id));
    for (Path partition : list(disk, "ublkb" + id + "p*")) {
      number(partition).ifPresent(number -> parts.put(number, partition.getFileName().toString()));
    }
    return parts;
  }

  private Optional<DeviceUse> mount(Map<String, String> parts) {
    Set<Path> namespaces = new HashSet<>();
    for (Path process : processesSelfFirst()) {
      try {
        if (!namespaces.add(Files.readSymbolicLink(process.resolve("ns/mnt")))) {
          continue;
        }
        String table = Files.readString(process.resolve("mountinfo"));
        for (MountTable.Mount mount : MountTable.parse(table)) {
          String part = part(parts, mount.device(), mount.source());
          if (part != null) {
            return Optional.of(
                new DeviceUse(
                    false,
                    "/dev/" + part + " is mounted on " + mount.mountPoint(),
                    "umount " + mount.mountPoint()));
          }
        }
      } catch (IOException gone) {
        // The process has ended, or is not ours to look at.
      }
    }
    return Optional.empty();
  }

  private List<Path> processesSelfFirst() {
    List<Path> processes = new ArrayList<>();
    processes.add(host.proc().resolve("self"));
    ProcessTable table = new ProcessTable(host.proc());
    table.pids().forEach(pid -> processes.add(table.directory(pid)));
    return processes;
  }

  private Optional<DeviceUse> swap(Map<String, String> parts) {
    try {
      for (String line : Files.readAllLines(host.proc().resolve("swaps"))) {
        String part = part(parts, "", line.split("\\s", 2)[0]);
        if (part != null) {
          return Optional.of(
              new DeviceUse(false, "/dev/" + part + " is used as swap", "swapoff /dev/" + part));
        }
      }
    } catch (IOException noSwap) {
      // A kernel without swap.
    }
    return Optional.empty();
  }

  private Optional<DeviceUse> holder(int id, Map<String, String> parts) {
    for (String part : parts.values()) {
      Path directory = host.sysBlock(id);
      if (!part.equals("ublkb" + id)) {
        directory = directory.resolve(part);
      }
      for (Path holder : list(directory.resolve("holders"), "*")) {
        String name = holder.getFileName().toString();
        String kind = HELD_BY_FIRMLY.matcher(name).matches() ? describe(name) : name;
        return Optional.of(
            new DeviceUse(
                false, "/dev/" + part + " is used by " + kind, "take " + name + " down first"));
      }
    }
    return Optional.empty();
  }

  /// A device mapper device with the name that people know.
  private String describe(String name) {
    try {
      Path file = host.sys().resolve("block").resolve(name).resolve("dm/name");
      return name + " (" + Files.readString(file).strip() + ")";
    } catch (IOException _) {
      return name;
    }
  }

  private Optional<DeviceUse> loop(Map<String, String> parts) {
    for (Path loop : list(host.sys().resolve("block"), "loop*")) {
      try {
        String backing = Files.readString(loop.resolve("loop/backing_file")).strip();
        String part = part(parts, "", backing);
        if (part != null) {
          String name = "/dev/" + loop.getFileName();
          return Optional.of(
              new DeviceUse(
                  false, "/dev/" + part + " is used by " + name, "losetup --detach " + name));
        }
      } catch (IOException _) {
        // Most loop devices have no file behind them.
      }
    }
    return Optional.empty();
  }

  private Optional<DeviceUse> process(Map<String, String> parts) {
    ProcessTable table = new ProcessTable(host.proc());
    long self = ProcessHandle.current().pid();
    for (long pid : table.pids()) {
      if (pid == self) {
        continue;
      }
      for (Path descriptor : list(table.directory(pid).resolve("fd"), "*")) {
        String part = opened(parts, descriptor);
        if (part != null) {
          return Optional.of(
              new DeviceUse(
                  true,
                  "/dev/" + part + " is open in " + table.name(pid) + " (process " + pid + ")",
                  "end process " + pid));
        }
      }
    }
    return Optional.empty();
  }

  private static @Nullable String opened(Map<String, String> parts, Path descriptor) {
    try {
      return part(parts, "", Files.readSymbolicLink(descriptor).toString());
    } catch (IOException closed) {
      return null;
    }
  }

  /// Which part is meant by a device number or a path, or null for none.
  private static @Nullable String part(Map<String, String> parts, String number, String path) {
    String byNumber = parts.get(number);
    if (byNumber != null) {
      return byNumber;
    }
    String name = path.startsWith("/dev/") ? path.substring("/dev/".length()) : "";
    return parts.containsValue(name) ? name : null;
  }

  private static Optional<String> number(Path directory) {
    try {
      return Optional.of(Files.readString(directory.resolve("dev")).strip());
    } catch (IOException gone) {
      return Optional.empty();
    }
  }

  private static List<Path> list(Path directory, String glob) {
    List<Path> entries = new ArrayList<>();
    try (DirectoryStream<Path> stream = Files.newDirectoryStream(directory, glob)) {
      stream.forEach(entries::add);
    } catch (IOException | DirectoryIteratorException none) {
      return List.of();
    }
    return entries;
  }
}
