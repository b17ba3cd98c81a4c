package io.ublkbridge.s3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.target.IoError;
import io.ublkbridge.target.RecordedRequest;
import io.ublkbridge.target.TargetUri;
import java.util.List;
import org.junit.jupiter.api.Test;

/// Reads for which there is no memory fail, and leave room for the next ones.
final class NoMemoryTest {
  private static final int PIECE = 4096;
  private static final int BUDGET_PIECES = 3;
  private static final int FRAME = 16 << 10;

  private final ScarceBuffers buffers = new ScarceBuffers();
  private final ScriptedStore store = new ScriptedStore();
  private final ByteBudget budget = new ByteBudget(BUDGET_PIECES * PIECE);

  private RecordedRequest read(long offsetBytes, int pieces) throws Exception {
    ObjectVersion object = new ObjectVersion("disk.img", "\"e\"", null, 1 << 20);
    S3Image image =
        new S3Image(S3Uri.parse(TargetUri.parse("s3://bucket/disk.img")), object, null);
    RecordedRequest read = RecordedRequest.read(offsetBytes, pieces * PIECE);
    new ImageRead(read, image, store, budget, buffers, () -> 0).start(PIECE);
    return read;
  }

  private void answerAll() {
    while (store.waitingCount() > 0) {
      List.copyOf(store.gets()).stream()
          .filter(ScriptedStore.Get::waits)
          .forEach(ScriptedStore.Get::succeed);
    }
  }

  @Test
  void aPieceWithoutMemoryFailsItsReadAndGivesItsRoomBack() throws Exception {
    buffers.leave(1);
    RecordedRequest failed = read(0, 2 * BUDGET_PIECES);
    assertFalse(failed.ended(), "one piece is under way");
    answerAll();
    assertEquals(IoError.IO, failed.await());
    assertTrue(String.valueOf(failed.cause()).contains("no memory for 4096 bytes"));

    buffers.replenish();
    RecordedRequest next = read(0, 2 * BUDGET_PIECES);
    assertEquals(BUDGET_PIECES, store.waitingCount(), "all of the budget is free again");
    answerAll();
    assertNull(next.await());
    assertEquals(0, buffers.usedBytes());
  }

  /// As it happened: the memory runs out when an earlier read's end makes room for the next.
  @Test
  void aReadThatWaitedForRoomFailsWhenThereIsNoMemoryForIt() throws Exception {
    RecordedRequest first = read(0, BUDGET_PIECES);
    RecordedRequest second = read(64 << 10, BUDGET_PIECES);
    buffers.leave(0);
    answerAll();
    assertNull(first.await());
    assertEquals(IoError.IO, second.await());
  }

  @Test
  void framesWithoutMemoryFailTheirReadsAndGiveTheirRoomBack() throws Exception {
    byte[] content = SeekableZstd.noise(8 * FRAME, 3);
    for (int left = 0; left < 4; left++) {
      try (CompressedBytes image =
          new CompressedBytes(SeekableZstd.of(content, FRAME, true), FRAME)) {
        image.buffers().leave(left);
        RecordedRequest failed = RecordedRequest.read(0, 8 * FRAME);
        image.read(failed);
        assertEquals(IoError.IO, failed.await(), "with " + left + " buffers left");

        image.buffers().replenish();
        for (int round = 0; round < 8; round++) {
          RecordedRequest read = RecordedRequest.read(0, 8 * FRAME);
          image.read(read);
          assertNull(read.await(), "with " + left + " buffers left");
        }
      }
    }
  }
}
