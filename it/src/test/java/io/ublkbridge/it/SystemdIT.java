package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/// The unit and the udev rules that come with the program, with a systemd of the guest's own.
@ExtendWith(NothingLeftBehind.class)
@Tag("linux-7")
final class SystemdIT {
  private static final String NAME = "by-unit";
  private static final Path LINK = Path.of("/dev/ublk", NAME);
  private static final Path RULES = Path.of("/etc/udev/rules.d/61-ublk-bridge.rules");
  private static final Path CONFIGURATION = Path.of("/etc/ublk-bridge");
  private static final Path RUNTIME = Path.of("/run/user/0");
  private static final Path BOOTED = Path.of("/run/systemd/system");

  @TempDir Path dir;
  private Process manager;

  /// The lab has no systemd as its first process; a user's manager runs units just as well.
  @BeforeEach
  void startManager() throws Exception {
    Path share = Path.of(System.getProperty("ublkbridge.home"), "share");
    Files.copy(share.resolve("udev").resolve(RULES.getFileName()), RULES);
    Command.shell("udevadm control --reload");
    Path units = RUNTIME.resolve("systemd/user");
    Files.createDirectories(units);
    Files.createDirectories(BOOTED);
    Files.createDirectories(CONFIGURATION);
    Path unit = Path.of("ublk-bridge@.service");
    Files.copy(share.resolve("systemd").resolve(unit), units.resolve(unit));
    ProcessBuilder builder =
        new ProcessBuilder("/usr/lib/systemd/systemd", "--user", "--log-target=console")
            .redirectErrorStream(true)
            .redirectOutput(dir.resolve("manager.log").toFile());
    builder.environment().put("XDG_RUNTIME_DIR", RUNTIME.toString());
    manager = builder.start();
    Command.shell(
        "for i in $(seq 600); do [ -S %s/systemd/private ] && exit; sleep 0.1; done; cat %s; exit 1"
            .formatted(RUNTIME, dir.resolve("manager.log")));
  }

  @AfterEach
  void stopManager() throws Exception {
    manager.destroy();
    assertTrue(manager.waitFor(1, TimeUnit.MINUTES));
    Command.shell("rm -r %s %s %s %s".formatted(RULES, CONFIGURATION, RUNTIME, BOOTED));
  }

  private static Command systemctl(String... arguments) {
    return Command.shellCommand(
        "XDG_RUNTIME_DIR=%s systemctl --user %s".formatted(RUNTIME, String.join(" ", arguments)));
  }

  @Test
  void aUnitAttachesRecoversAndDetaches() throws Exception {
    Path image = dir.resolve("disk.img");
    Command.shell("truncate -s 16M " + image);
    Files.writeString(
        CONFIGURATION.resolve(NAME + ".conf"),
        "URI=file:%s\nOPTIONS=--queues 1 --io-timeout 30s\n".formatted(image));

    systemctl("start", "ublk-bridge@" + NAME).succeeded();
    assertEquals("active", systemctl("is-active", "ublk-bridge@" + NAME).output().strip());
    Path disk = LINK.toRealPath();
    assertEquals(disk.toString(), Command.json("device", "status", NAME, "--json"));
    Command.shell("printf precious | dd of=%s oflag=direct conv=sync".formatted(LINK));

    String pid = Command.json("pid", "status", NAME, "--json");
    Command.shell("kill -9 " + pid);
    assertEquals(
        "precious",
        Command.shell("dd if=%s count=1 iflag=direct status=none | head -c 8".formatted(disk)));
    assertNotEquals(pid, Command.json("pid", "status", NAME, "--json"));
    assertEquals("1", Command.json("recoveries", "status", NAME, "--json"));

    systemctl("stop", "ublk-bridge@" + NAME).succeeded();
    assertTrue(Files.notExists(disk) && Files.notExists(LINK));
    assertEquals("inactive", systemctl("is-active", "ublk-bridge@" + NAME).output().strip());
  }

  /// What systemd knows of the kernel's names before 257 is nothing, so the rules stand by
  /// themselves.
  @Test
  void disksAndPartitionsAreFoundByName() {
    try (Disk disk = Disk.attach("memory:32M", "--name", NAME)) {
      assertTrue(Files.isSymbolicLink(LINK), "the link is there at once");
      Command.shell("test %s -ef %s".formatted(LINK, disk.path()));
      PartitionTable.write(LINK);
      Command.shell("blockdev --rereadpt %s; udevadm settle".formatted(LINK));
      Command.shell("test %s-part1 -ef %sp1".formatted(LINK, disk.path()));
    }
    assertTrue(Files.notExists(LINK));
  }
}
