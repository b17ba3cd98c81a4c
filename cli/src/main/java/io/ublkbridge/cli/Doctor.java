package io.ublkbridge.cli;

import io.ublkbridge.cli.DeviceRegistry.Health;
import io.ublkbridge.cli.Finding.Level;
import io.ublkbridge.device.QueueLoops;
import io.ublkbridge.kernel.ControlDevice;
import io.ublkbridge.kernel.UblkAbi;
import io.ublkbridge.kernel.UblkException;
import java.util.ArrayList;
import java.util.List;

/// Looks at everything on this host that serving a device depends on.
record Doctor(Host host) {
  /// The kernel's features by bit, from `UBLK_F_*` in `linux/ublk_cmd.h`.
  private static final String[] FEATURES = {
    "SUPPORT_ZERO_COPY",
    "URING_CMD_COMP_IN_TASK",
    "NEED_GET_DATA",
    "USER_RECOVERY",
    "USER_RECOVERY_REISSUE",
    "UNPRIVILEGED_DEV",
    "CMD_IOCTL_ENCODE",
    "USER_COPY",
    "ZONED",
    "USER_RECOVERY_FAIL_IO",
    "UPDATE_SIZE",
    "AUTO_BUF_REG",
    "QUIESCE",
    "PER_IO_DAEMON",
    "BUF_REG_OFF_DAEMON",
    "BATCH_IO",
    "INTEGRITY",
    "SAFE_STOP_DEV",
    "NO_AUTO_PART_SCAN",
    "SHMEM_ZC",
    "IO_DESC_SIZE"
  };

  private static final long NEEDED = UblkAbi.UBLK_F_USER_COPY | UblkAbi.UBLK_F_CMD_IOCTL_ENCODE;
  private static final int JAVA_FLOOR = 25;

  List<Finding> findings() {
    HostFacts facts = new HostFacts(host);
    List<Finding> findings = new ArrayList<>();
    findings.add(facts.kernel());
    Finding driver = facts.driver();
    findings.add(driver);
    findings.add(facts.privilege());
    Finding ioUring = ioUring(facts);
    findings.add(ioUring);
    if (driver.level() == Level.OK && ioUring.level() == Level.OK) {
      findings.add(features());
    }
    findings.add(facts.ioFlusher());
    findings.add(udev());
    findings.add(java());
    addDead(findings);
    return findings;
  }

  private static Finding ioUring(HostFacts facts) {
    Finding allowed = facts.ioUringAllowed();
    if (allowed.level() == Level.FAIL) {
      return allowed;
    }
    try (QueueLoops loops = new QueueLoops(1, 1)) {
      return Finding.ok("io_uring", "a ring can be made (" + loops.count() + " tried)");
    } catch (UblkException e) {
      return Finding.fail(
          "io_uring",
          String.valueOf(e.getMessage()),
          "in a container, allow io_uring_setup, io_uring_enter and io_uring_register (seccomp)");
    }
  }

  private static Finding features() {
    try (ControlDevice control = ControlDevice.open()) {
      long features = control.features();
      String present = names(features);
      if ((features & NEEDED) != NEEDED) {
        return Finding.fail(
            "features",
            "ublk lacks " + names(NEEDED & ~features) + ", has " + present,
            "boot Linux 6.5 or newer");
      }
      return Finding.ok("features", "0x" + Long.toHexString(features) + " " + present);
    } catch (UblkException e) {
      return Finding.fail(
          "features", String.valueOf(e.getMessage()), "run it as root, on Linux 6.5 or newer");
    }
  }

  /// The names of set bits; newer ones than we know as numbers.
  static String names(long features) {
    List<String> names = new ArrayList<>();
    for (int bit = 0; bit < Long.SIZE; bit++) {
      if ((features >>> bit & 1) != 0) {
        names.add(bit < FEATURES.length ? FEATURES[bit] : "bit" + bit);
      }
    }
    return String.join(" ", names);
  }

  private Finding udev() {
    Udev udev = new Udev(host);
    if (!udev.running()) {
      return Finding.ok("udev", "not running: no links such as /dev/disk/by-uuid");
    }
    if (udev.knowsUblk()) {
      return Finding.ok("udev", "its rules know ublk disks");
    }
    return Finding.warn(
        "udev",
        "its rules do not know ublk disks: no /dev/disk/by-uuid links (systemd before 257)",
        "install ours: cp share/udev/61-ublk-bridge.rules /etc/udev/rules.d/");
  }

  private static Finding java() {
    Runtime.Version version = Runtime.version();
    if (version.feature() < JAVA_FLOOR) {
      return Finding.fail("java", "Java " + version + " is too old", "install a JDK 25 or newer");
    }
    return Finding.ok("java", version + " in " + System.getProperty("java.home"));
  }

  private void addDead(List<Finding> findings) {
    DeviceRegistry registry = new DeviceRegistry(host);
    for (DeviceRecord record : registry.all()) {
      if (registry.health(record) == Health.DEAD) {
        findings.add(
            Finding.warn(
                "device",
                "the server of " + record.name() + " (" + record.device() + ") is gone",
                "ublk-bridge detach " + record.name()));
      }
    }
  }
}
