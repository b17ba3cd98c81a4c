package io.ublkbridge.kernel;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.netty.channel.uring.IoUringIoOps;
import org.junit.jupiter.api.Test;

/// The fields of submissions whose loss no I/O test would notice, as the man pages number them.
class FileOpsTest {
  private static final int FD = 77;

  @Test
  void onlyADurableWriteIsADsyncWrite() {
    assertFields(
        FileOps.write(FD, 4096, 9, 512, true, 5),
        "opcode=23",
        "union1=4096",
        "union2=9",
        "len=512",
        "union3=2",
        "data=5");
    assertFields(FileOps.write(FD, 4096, 9, 512, false, 5), "opcode=23", "fd=77", "union3=0");
    assertFields(FileOps.read(FD, 4096, 9, 512, 5), "opcode=22", "fd=77", "union3=0", "data=5");
  }

  @Test
  void aRegisteredBufferIsNamedByItsIndexAndThePlaceInIt() {
    assertFields(
        FileOps.writeFixed(FD, 4096, 3, 512, 1024, true, 5),
        "opcode=5",
        "fd=77",
        "union1=4096",
        "union2=512",
        "len=1024",
        "union3=2",
        "union4=3",
        "data=5");
    assertFields(FileOps.writeFixed(FD, 4096, 3, 512, 1024, false, 5), "opcode=5", "union3=0");
    assertFields(
        FileOps.readFixed(FD, 4096, 3, 512, 1024, 5), "opcode=4", "union2=512", "union4=3");
  }

  @Test
  void aFlushIsAnFdatasync() {
    assertFields(FileOps.dataSync(FD, 5), "opcode=3", "fd=77", "union3=1", "data=5");
  }

  @Test
  void zeroingNeverChangesTheFilesLength() {
    assertFields(
        FileOps.punchHole(FD, 4096, 8192, 5),
        "opcode=17",
        "union1=4096",
        "union2=8192",
        "len=3",
        "data=5");
    assertFields(FileOps.zeroRange(FD, 4096, 8192, 5), "len=17");
    assertFields(FileOps.punchBehindTheEnd(FD, 1 << 20), "union1=1048576", "len=3");
  }

  private static void assertFields(IoUringIoOps operation, String... fields) {
    for (String field : fields) {
      String text = operation.toString();
      assertTrue(text.contains(field + ",") || text.contains(field + "}"), () -> field + text);
    }
  }
}
