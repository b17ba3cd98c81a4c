package io.ublkbridge.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;

class MountTableTest {
  @Test
  void readsOptionalFieldsAndEscapes() {
    List<MountTable.Mount> mounts =
        MountTable.parse(
            """
            36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw
            37 35 0:44 / /a\\040b\\134c rw - tmpfs none rw
            broken line
            38 35 0:1 / /x rw - proc
            """);

    assertEquals(
        List.of(
            new MountTable.Mount("98:0", "/mnt2", "/dev/root"),
            new MountTable.Mount("0:44", "/a b\\c", "none")),
        mounts);
  }

  @Test
  void aServerLeavesDisksThatItDoesNotNeed() {
    List<MountTable.Mount> mounts =
        List.of(
            new MountTable.Mount("8:1", "/", "/dev/sda1"),
            new MountTable.Mount("0:4", "/proc", "proc"),
            new MountTable.Mount("8:2", "/opt", "/dev/sda2"),
            new MountTable.Mount("8:3", "/optional", "/dev/sda3"),
            new MountTable.Mount("259:0", "/mnt", "/dev/ublkb0"),
            new MountTable.Mount("259:1", "/mnt/in", "/dev/ublkb1"));

    assertEquals(
        List.of("/mnt/in", "/mnt", "/optional"),
        MountNamespace.dispensable(mounts, List.of(Path.of("/opt/ublk-bridge"))));
  }
}
