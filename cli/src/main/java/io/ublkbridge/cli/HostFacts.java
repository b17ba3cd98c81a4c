package io.ublkbridge.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// What files tell about this host: cheap, and the same for everybody.
record HostFacts(Host host) {
  private static final int CAP_SYS_ADMIN = 21;
  private static final int CAP_SYS_RESOURCE = 24;
  private static final Pattern RELEASE = Pattern.compile("(\\d+)\\.(\\d+).*", Pattern.DOTALL);

  /// Mainline commit 529d4d632788 without 011af85ccd87: a null pointer in ADD_DEV.
  private static final Pattern OOPSES_IN_ADD_DEV =
      Pattern.compile("6\\.18\\.[45](?!\\d).*|6\\.17\\.0-(101[5-8]-azure|\\d+-aws).*");

  private static final Pattern CAPABILITIES = Pattern.compile("(?m)^CapEff:\\s*([0-9a-f]{1,16})$");

  Finding kernel() {
    String release = release();
    Matcher version = RELEASE.matcher(release);
    if (!version.matches()) {
      return Finding.warn("kernel", "of unknown version '" + release + "'", "use Linux 6.12");
    }
    int major = Integer.parseInt(version.group(1));
    int minor = Integer.parseInt(version.group(2));
    if (major < 6 || (major == 6 && minor < 5)) {
      return Finding.fail(
          "kernel",
          "Linux " + release + " is older than 6.5, whose ublk is the first that can be used",
          "boot a newer kernel; 6.12 is the tested one");
    }
    if (OOPSES_IN_ADD_DEV.matcher(release).matches()) {
      return Finding.warn(
          "kernel",
          "Linux " + release + " may crash while a ublk disk is made, and hang ublk until a reboot",
          "boot another one: 6.12, or 6.18.6 and newer");
    }
    return Finding.ok("kernel", "Linux " + release);
  }

  Finding driver() {
    if (Files.exists(host.dev().resolve("ublk-control"))) {
      return Finding.ok("ublk", "/dev/ublk-control is there");
    }
    if (Files.isDirectory(host.sys().resolve("module/ublk_drv"))) {
      return Finding.fail(
          "ublk",
          "ublk_drv is loaded, but /dev/ublk-control is missing",
          "in a container, share the host's /dev");
    }
    if (moduleInstalled()) {
      return Finding.fail("ublk", "the kernel module ublk_drv is not loaded", "modprobe ublk_drv");
    }
    return Finding.fail(
        "ublk",
        "this kernel has no ublk (no module ublk_drv for " + release() + ")",
        "boot a kernel built with CONFIG_BLK_DEV_UBLK: Debian 13's linux-image-amd64 is; Ubuntu"
            + " needs linux-modules-extra-$(uname -r)");
  }

  Finding privilege() {
    if (capable(CAP_SYS_ADMIN)) {
      return Finding.ok("privilege", "CAP_SYS_ADMIN");
    }
    return Finding.fail(
        "privilege", "no permission: CAP_SYS_ADMIN is missing", "run it as root, with sudo");
  }

  Finding ioFlusher() {
    if (capable(CAP_SYS_RESOURCE)) {
      return Finding.ok("memory", "CAP_SYS_RESOURCE: servers are safe when memory runs out");
    }
    return Finding.warn(
        "memory",
        "CAP_SYS_RESOURCE is missing: a server may wait for its own disk when memory runs out",
        "grant it to the container");
  }

  Finding ioUringAllowed() {
    String disabled = read(host.proc().resolve("sys/kernel/io_uring_disabled"));
    return switch (disabled) {
      case "2" -> forbidden("2");
      case "1" -> capable(CAP_SYS_ADMIN) ? Finding.ok("io_uring", "allowed") : forbidden("1");
      default -> Finding.ok("io_uring", "allowed");
    };
  }

  private static Finding forbidden(String value) {
    return Finding.fail(
        "io_uring",
        "io_uring is forbidden: kernel.io_uring_disabled is " + value,
        "sysctl kernel.io_uring_disabled=0");
  }

  String release() {
    return read(host.proc().resolve("sys/kernel/osrelease"));
  }

  private boolean moduleInstalled() {
    for (String directory : new String[] {"lib/modules", "usr/lib/modules"}) {
      Path modules = host.root().resolve(directory).resolve(release());
      if (read(modules.resolve("modules.dep")).contains("/ublk_drv.ko")
          || read(modules.resolve("modules.builtin")).contains("/ublk_drv.ko")) {
        return true;
      }
    }
    return false;
  }

  private boolean capable(int capability) {
    Matcher effective = CAPABILITIES.matcher(read(host.proc().resolve("self/status")));
    return effective.find()
        && (Long.parseUnsignedLong(effective.group(1), 16) >>> capability & 1) != 0;
  }

  private static String read(Path file) {
    try {
      return Files.readString(file).strip();
    } catch (IOException missing) {
      return "";
    }
  }
}
