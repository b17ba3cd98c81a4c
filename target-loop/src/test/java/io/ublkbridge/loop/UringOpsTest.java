package io.ublkbridge.loop;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.netty.channel.uring.IoUringIoOps;
import io.ublkbridge.target.RecordedRequest;
import java.lang.foreign.Arena;
import org.junit.jupiter.api.Test;

/// The fields of submissions whose loss no I/O test would notice, as the man pages number them.
class UringOpsTest {
  private static final int FD = 77;

  @Test
  void onlyADurableWriteIsADsyncWrite() {
    LoopSlot slot = new LoopSlot(5);
    slot.occupy(RecordedRequest.write(4096, new byte[512], true));
    slot.useBuffer(new IoBuffer(Arena.ofAuto().allocate(512)));
    slot.enter(LoopStage.WRITE);

    assertFields(UringOps.write(FD, slot, true), "opcode=23", "union1=4096", "len=512", "union3=2");
    assertFields(UringOps.write(FD, slot, false), "opcode=23", "fd=77", "union3=0");
    assertFields(UringOps.read(FD, slot), "opcode=22", "fd=77", "union3=0");
  }

  @Test
  void aFlushIsAnFdatasync() {
    assertFields(UringOps.dataSync(FD, new LoopSlot(5)), "opcode=3", "fd=77", "union3=1", "data=5");
  }

  @Test
  void zeroingNeverChangesTheFilesLength() {
    LoopSlot slot = new LoopSlot(5);
    slot.occupy(RecordedRequest.discard(4096, 8192));
    slot.enter(LoopStage.PUNCH_HOLE);

    assertFields(
        UringOps.zero(FD, slot, UringOps.FALLOC_FL_PUNCH_HOLE),
        "opcode=17",
        "union1=4096",
        "union2=8192",
        "len=3");
    assertFields(UringOps.zero(FD, slot, UringOps.FALLOC_FL_ZERO_RANGE), "len=17");
    assertFields(UringOps.punchBehindTheEnd(FD, 1 << 20), "union1=1048576", "len=3");
  }

  private static void assertFields(IoUringIoOps operation, String... fields) {
    for (String field : fields) {
      String text = operation.toString();
      assertTrue(text.contains(field + ",") || text.contains(field + "}"), () -> field + text);
    }
  }
}
