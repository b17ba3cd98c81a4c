package io.ublkbridge.it;

import static io.ublkbridge.it.ServedDisk.blocks;
import static io.ublkbridge.it.ServedDisk.depth;
import static io.ublkbridge.it.ServedDisk.maxIo;
import static io.ublkbridge.it.ServedDisk.queues;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Random mixed I/O of every size and depth reads back what it wrote, on every target.
final class FioVerifyIT {
  private static final String SIZE = "64M";

  @TempDir Path dir;

  @ParameterizedTest
  @ValueSource(ints = {1, 2})
  void memoryKeepsWhatWasWritten(int queues) {
    try (Disk disk = Disk.serve("memory:" + SIZE, queues(queues))) {
      assertEquals(queues, disk.queueCount());
      verifyAtEveryDepth(disk);
    }
  }

  @Test
  void fileKeepsWhatWasWritten() {
    Path image = image();
    try (Disk disk = Disk.serve("file:" + image, queues(2))) {
      verifyAtEveryDepth(disk);
    }
  }

  @ParameterizedTest
  @EnumSource(NbdServer.Kind.class)
  void nbdKeepsWhatWasWritten(NbdServer.Kind kind) {
    Path image = image();
    try (NbdServer server = NbdServer.serve(kind, image);
        ServedDisk disk = Disk.serve(server.uri(), queues(2), maxIo(1 << 20))) {
      assertEquals(
          kind == NbdServer.Kind.QEMU_NBD,
          disk.details().get("extendedHeaders"),
          "qemu-nbd is the one that speaks extended headers");
      assertEquals(2, disk.queueCount(), "all three servers allow several connections");
      verifyAtEveryDepth(disk);
    }
  }

  @Test
  void singleConnectionKeepsWhatWasWritten() {
    Path image = image();
    try (NbdServer server =
            NbdServer.nbdkitOnTcp(
                "--filter=multi-conn", "file", image.toString(), "multi-conn-mode=disable");
        Disk disk = Disk.serve(server.uri(), queues(2))) {
      assertEquals(1, disk.queueCount(), "without multi-conn there is one connection, one queue");
      verify(disk, 32, "512-1M", "16m");
    }
  }

  @Test
  void vsockKeepsWhatWasWritten() {
    NbdServer.assumeVsock();
    try (NbdServer server = NbdServer.nbdkitOnVsock("file", image().toString());
        Disk disk = Disk.serve(server.uri(), queues(2))) {
      assertEquals(2, disk.queueCount());
      verify(disk, 32, "512-1M", "16m");
    }
  }

  @Test
  void deepestQueueAndLongestRequestsKeepWhatWasWritten() {
    try (Disk disk = Disk.serve("memory:" + SIZE, queues(1), depth(4096), maxIo(4 << 20))) {
      assertEquals("4096", disk.queue("max_hw_sectors_kb"));
      verify(disk, 64, "512-4M", "24m");
    }
  }

  @Test
  void shallowestQueueAndLargeBlocksKeepWhatWasWritten() {
    try (Disk disk = Disk.serve("memory:" + SIZE, depth(1), blocks(4096))) {
      assertEquals("4096", disk.queue("logical_block_size"));
      verify(disk, 8, "4k-256k", "8m");
    }
  }

  private Path image() {
    Path image = dir.resolve("disk.img");
    Command.shell("truncate -s " + SIZE + " " + image);
    return image;
  }

  private static void verifyAtEveryDepth(Disk disk) {
    verify(disk, 1, "512-1M", "6m");
    verify(disk, 32, "512-1M", "16m");
    verify(disk, 128, "512-64k", "6m");
  }

  private static void verify(Disk disk, int depth, String sizes, String amount) {
    String output =
        Command.shell(
            "fio --name=verify --filename="
                + disk.path()
                + " --rw=randrw --bsrange="
                + sizes
                + " --direct=1 --ioengine=libaio --iodepth="
                + depth
                + " --size="
                + amount
                + " --randseed=1 --verify=crc32c --verify_fatal=1 --do_verify=1 2>&1");
    assertFalse(output.contains("verify: bad"), output);
  }
}
