package io.ublkbridge.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DeviceUsersTest {
  private static final String ROOT_MOUNT =
      "36 35 254:0 / / rw,noatime shared:1 - ext4 /dev/vda rw\n";

  @TempDir Path root;
  private FakeHost host;

  @BeforeEach
  void aDiskWithAPartition() throws IOException {
    host = FakeHost.able(root);
    host.file("sys/block/ublkb1/dev", "259:5\n");
    host.file("sys/block/ublkb1/ublkb1p2/dev", "259:6\n");
    namespace("self", 1, ROOT_MOUNT);
  }

  private void namespace(String process, int number, String mounts) throws IOException {
    host.link("proc/" + process + "/ns/mnt", "mnt:[" + number + "]");
    host.file("proc/" + process + "/mountinfo", mounts);
  }

  private Optional<String> user() {
    return new DeviceUsers(host.host()).first(1).map(DeviceUse::text);
  }

  @Test
  void findNobodyOnAnIdleDisk() throws IOException {
    namespace("55", 2, ROOT_MOUNT + "40 36 259:7 / /mnt rw - ext4 /dev/ublkb2 rw\n");
    host.link("proc/55/fd/3", "/dev/ublkb12");

    assertEquals(Optional.empty(), user());
  }

  @Test
  void findAMount() throws IOException {
    namespace("self", 1, ROOT_MOUNT + "40 36 259:5 / /mnt/my\\040disk rw - ext4 /dev/x rw\n");

    DeviceUse use = new DeviceUsers(host.host()).first(1).orElseThrow();
    assertEquals("/dev/ublkb1 is mounted on /mnt/my disk", use.text());
    assertEquals("umount /mnt/my disk", use.remedy());
    assertFalse(use.passing());
  }

  @Test
  void findAMountedPartitionInAnotherNamespace() throws IOException {
    namespace("55", 2, ROOT_MOUNT + "40 36 259:6 / /inside rw - xfs /dev/ublkb1p2 rw\n");

    assertEquals(Optional.of("/dev/ublkb1p2 is mounted on /inside"), user());
  }

  @Test
  void findAMountWhoseFileSystemMadeUpANumber() throws IOException {
    namespace("self", 1, ROOT_MOUNT + "40 36 0:44 /sub /b rw - btrfs /dev/ublkb1p2 rw\n");

    assertEquals(Optional.of("/dev/ublkb1p2 is mounted on /b"), user());
  }

  @Test
  void findSwap() throws IOException {
    host.file("proc/swaps", "Filename Type Size Used Priority\n/dev/ublkb1 partition 9 0 -2\n");

    assertEquals(Optional.of("/dev/ublkb1 is used as swap"), user());
  }

  @Test
  void findDeviceMapperByItsName() throws IOException {
    host.file("sys/block/ublkb1/ublkb1p2/holders/dm-0/dev", "252:0");
    host.file("sys/block/dm-0/dm/name", "secret\n");

    assertEquals(Optional.of("/dev/ublkb1p2 is used by dm-0 (secret)"), user());
  }

  @Test
  void findRaid() throws IOException {
    host.file("sys/block/ublkb1/holders/md127/dev", "9:127");

    assertEquals(Optional.of("/dev/ublkb1 is used by md127"), user());
  }

  @Test
  void findALoopDevice() throws IOException {
    host.file("sys/block/loop3/loop/backing_file", "/dev/ublkb1\n");
    host.file("sys/block/loop4/size", "0");

    assertEquals(Optional.of("/dev/ublkb1 is used by /dev/loop3"), user());
  }

  @Test
  void findAProcessAndTakeItForPassing() throws IOException {
    host.process(55, "dd");
    host.link("proc/55/fd/0", "pipe:[9]");
    host.link("proc/55/fd/3", "/dev/ublkb1p2");

    DeviceUse use = new DeviceUsers(host.host()).first(1).orElseThrow();
    assertEquals("/dev/ublkb1p2 is open in dd (process 55)", use.text());
    assertTrue(use.passing());
  }

  @Test
  void nameTheMountRatherThanTheProcess() throws IOException {
    host.process(55, "mount");
    host.link("proc/55/fd/3", "/dev/ublkb1");
    namespace("55", 2, "40 36 259:5 / /mnt rw - ext4 /dev/ublkb1 rw\n");

    assertEquals(Optional.of("/dev/ublkb1 is mounted on /mnt"), user());
  }
}
