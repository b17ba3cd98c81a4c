package io.ublkbridge.cli;

import io.ublkbridge.kernel.Posix;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// The mount namespace of a server. It is a copy of that of the one who attached; without care, a
/// disk that is unmounted out there would stay mounted in here and busy for ever.
final class MountNamespace {
  private static final Logger log = LoggerFactory.getLogger(MountNamespace.class);

  private MountNamespace() {}

  /// The present one, to be compared.
  static String present(Path proc) {
    try {
      return Files.readSymbolicLink(proc.resolve("self/ns/mnt")).toString();
    } catch (IOException e) {
      return "";
    }
  }

  /// Takes every mounted disk out of this process's namespace that the program itself does not
  /// need. Does nothing where the namespace is shared with `askers`.
  static void keepOnlyNeeded(String askers) {
    if (present(Path.of("/proc")).equals(askers)) {
      log.warn("no mount namespace of its own: never mount this disk in the server's container");
      return;
    }
    List<Path> needed = List.of(Path.of(System.getProperty("java.home")), programFiles());
    try {
      List<MountTable.Mount> mounts =
          MountTable.parse(Files.readString(Path.of("/proc/self/mountinfo")));
      for (String mountPoint : dispensable(mounts, needed)) {
        int result = Posix.detachMount(mountPoint);
        if (result < 0) {
          log.warn("cannot leave {} out of the server's mounts: errno {}", mountPoint, -result);
        }
      }
    } catch (IOException e) {
      log.warn("cannot read the mount table", e);
    }
  }

  /// Mount points of disks that hold none of the needed paths, innermost first.
  static List<String> dispensable(List<MountTable.Mount> mounts, List<Path> needed) {
    List<String> dispensable = new ArrayList<>();
    for (MountTable.Mount mount : mounts.reversed()) {
      Path mountPoint = Path.of(mount.mountPoint());
      boolean disk = mount.source().startsWith("/dev/");
      if (disk && needed.stream().noneMatch(path -> path.startsWith(mountPoint))) {
        dispensable.add(mount.mountPoint());
      }
    }
    return dispensable;
  }

  private static Path programFiles() {
    return Path.of(System.getProperty(DaemonProcess.HOME_PROPERTY, "/"));
  }
}
