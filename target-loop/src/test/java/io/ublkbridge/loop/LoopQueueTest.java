package io.ublkbridge.loop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.kernel.Errno;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.InternalRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import io.ublkbridge.target.PayloadException;
import io.ublkbridge.target.RecordedRequest;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// What the queue makes of answers that a healthy kernel hardly ever gives.
class LoopQueueTest {
  private static final int DEPTH = 4;

  /// Lengths that are worth moving in place, and not.
  private static final int LONG = (int) LoopQueue.IN_PLACE_BYTES_MIN;

  private static final int SHORT = LONG / 2;

  private final ScriptedFileIo io = new ScriptedFileIo();
  private final LoopQueue queue = queue(true);

  @AfterEach
  void close() {
    queue.close();
  }

  @Test
  void aShortReadIsContinued() {
    RecordedRequest read = RecordedRequest.read(8192, 4096);
    queue.submit(read);
    io.answer(1000);
    io.answer(3000);
    assertFalse(read.ended());
    io.answer(96);

    assertNull(read.await());
    assertEquals(List.of("READ 8192+4096", "READ 9192+3096", "READ 12192+96"), io.takeSteps());
  }

  @Test
  void aShortWriteIsContinued() {
    RecordedRequest write = RecordedRequest.write(0, new byte[4096], true);
    queue.submit(write);
    io.answer(512);
    assertFalse(write.ended());
    io.answer(3584);

    assertNull(write.await());
    assertEquals(List.of("WRITE 0+4096", "WRITE 512+3584"), io.takeSteps());
  }

  @Test
  void aWriteThatMakesNoProgressFails() {
    RecordedRequest write = RecordedRequest.write(0, new byte[4096], false);
    queue.submit(write);
    io.answer(0);

    assertEquals(IoError.IO, write.await());
  }

  @Test
  void payloadInTheRingIsMovedWithoutACopy() {
    RecordedRequest read = RecordedRequest.read(8192, LONG).inBuffer(3);
    RecordedRequest write = RecordedRequest.write(0, new byte[LONG], false).inBuffer(0);
    queue.submit(read);
    queue.submit(write);
    io.answer(1000);
    assertFalse(read.ended());
    io.answer(LONG);
    io.answer(LONG - 1000);

    assertNull(read.await());
    assertNull(write.await());
    assertFalse(read.copied() || write.copied());
    assertEquals(
        List.of(
            "READ 8192+" + LONG + " at 0 in 3",
            "WRITE 0+" + LONG + " at 0 in 0",
            "READ 9192+" + (LONG - 1000) + " at 1000 in 3"),
        io.takeSteps());
  }

  @Test
  void aReadInPlaceBehindTheEndOfTheFileFails() {
    RecordedRequest read = RecordedRequest.read(0, LONG).inBuffer(0);
    queue.submit(read);
    io.answer(512);
    io.answer(0);

    assertEquals(IoError.IO, read.await());
  }

  @Test
  void aShortRequestIsCopiedAlthoughItIsInTheRing() {
    RecordedRequest read = RecordedRequest.read(0, SHORT).inBuffer(0);
    queue.submit(read);
    io.answer(SHORT);

    assertNull(read.await());
    assertTrue(read.copied());
    assertEquals(List.of("READ 0+" + SHORT), io.takeSteps());
  }

  @ParameterizedTest
  @ValueSource(ints = {Errno.EFAULT, Errno.EINVAL, Errno.EOPNOTSUPP})
  void whatCannotBeMovedInPlaceIsCopiedFromItsBeginning(int errno) {
    RecordedRequest write = RecordedRequest.write(4096, new byte[LONG], true).inBuffer(1);
    queue.submit(write);
    io.answer(512);
    io.answer(-errno);
    assertFalse(write.ended());
    io.answer(LONG);
    assertNull(write.await());
    assertTrue(write.copied());

    RecordedRequest read = RecordedRequest.read(0, LONG).inBuffer(1);
    queue.submit(read);
    io.answer(LONG);
    assertNull(read.await());
    assertTrue(read.copied());
    assertEquals(
        List.of(
            "WRITE 4096+" + LONG + " at 0 in 1",
            "WRITE 4608+" + (LONG - 512) + " at 512 in 1",
            "WRITE 4096+" + LONG,
            "READ 0+" + LONG),
        io.takeSteps());
  }

  @Test
  void anErrorOfTheFileIsNoReasonToCopy() {
    RecordedRequest write = RecordedRequest.write(0, new byte[LONG], false).inBuffer(1);
    queue.submit(write);
    io.answer(-Errno.ENOSPC);

    assertEquals(IoError.NO_SPACE, write.await());
    assertFalse(write.copied());
  }

  @ParameterizedTest
  @ValueSource(ints = {Errno.EINTR, Errno.EAGAIN})
  void anInterruptedStepIsRepeatedButNotForEver(int errno) {
    RecordedRequest read = RecordedRequest.read(0, 512);
    queue.submit(read);
    io.answer(-errno);
    io.answer(512);
    assertNull(read.await());

    RecordedRequest hopeless = RecordedRequest.read(0, 512);
    RecordedRequest flush = RecordedRequest.flush();
    queue.submit(hopeless);
    for (int i = 0; i <= 16; i++) {
      assertFalse(hopeless.ended());
      io.answer(-errno);
    }
    assertEquals(IoError.IO, hopeless.await());
    queue.submit(flush);
    for (int i = 0; i <= 16; i++) {
      assertFalse(flush.ended());
      io.answer(-errno);
    }
    assertEquals(IoError.IO, flush.await());
  }

  @ParameterizedTest
  @CsvSource({
    "28, NO_SPACE",
    "122, NO_SPACE",
    "95, UNSUPPORTED",
    "61, CORRUPT",
    "84, CORRUPT",
    "67, UNREACHABLE",
    "110, TIMED_OUT",
    "5, IO",
    "125, IO"
  })
  void errorNumbersBecomeErrors(int errno, IoError error) {
    RecordedRequest write = RecordedRequest.write(4096, new byte[512], false);
    queue.submit(write);
    io.answer(-errno);

    assertEquals(error, write.await());
    assertTrue(
        String.valueOf(write.cause()).contains("512 bytes at 4096"), () -> "" + write.cause());
  }

  @Test
  void holesFallBackToRangesAndRangesToPages() {
    int length = (int) LoopQueue.ZEROES_BYTES + 4096;
    RecordedRequest zeroes = RecordedRequest.writeZeroes(0, length, true, true);
    queue.submit(zeroes);
    io.answer(-Errno.EOPNOTSUPP);
    io.answer(-Errno.EOPNOTSUPP);
    io.answer((int) LoopQueue.ZEROES_BYTES);
    io.answer(4096);
    assertFalse(zeroes.ended(), "durable zeroes end before fdatasync");
    io.answer(0);

    assertNull(zeroes.await());
    assertEquals(
        List.of(
            "PUNCH_HOLE 0+" + length,
            "ZERO_RANGE 0+" + length,
            "ZERO_PAGES 0+" + LoopQueue.ZEROES_BYTES,
            "ZERO_PAGES " + LoopQueue.ZEROES_BYTES + "+4096",
            "SYNC"),
        io.takeSteps());

    // The refusal is remembered.
    RecordedRequest again = RecordedRequest.writeZeroes(0, 4096, false, false);
    queue.submit(again);
    io.answer(4096);
    assertNull(again.await());
    assertEquals(List.of("ZERO_PAGES 0+4096"), io.takeSteps());
  }

  @Test
  void mandatoryZeroesAreNeverAHole() {
    RecordedRequest zeroes = RecordedRequest.writeZeroes(0, 4096, false, false);
    queue.submit(zeroes);
    io.answer(0);

    assertNull(zeroes.await());
    assertEquals(List.of("ZERO_RANGE 0+4096"), io.takeSteps());
  }

  @Test
  void withoutHolesThereIsNoDiscard() {
    LoopQueue solid = queue(false);
    RecordedRequest discard = RecordedRequest.discard(0, 4096);
    RecordedRequest zeroes = RecordedRequest.writeZeroes(0, 4096, false, true);
    solid.submit(discard);
    solid.submit(zeroes);
    io.answer(0);
    solid.close();

    assertEquals(IoError.UNSUPPORTED, discard.await());
    assertNull(zeroes.await());
    assertEquals(List.of("ZERO_RANGE 0+4096"), io.takeSteps());
  }

  @Test
  void aFlushIsNotServedByAnFdatasyncThatStartedBefore() {
    RecordedRequest first = RecordedRequest.flush();
    RecordedRequest second = RecordedRequest.flush();
    RecordedRequest third = RecordedRequest.flush();
    queue.submit(first);
    queue.submit(second);
    queue.submit(third);
    assertEquals(List.of("SYNC"), io.takeSteps(), "two fdatasync at once");

    io.answer(0);
    assertNull(first.await());
    assertFalse(second.ended());
    assertEquals(List.of("SYNC"), io.takeSteps());

    io.answer(0);
    assertNull(second.await());
    assertNull(third.await());
    assertEquals(List.of(), io.takeSteps());
  }

  @Test
  void afterAFailedFdatasyncNoFlushSucceedsAgain() {
    RecordedRequest first = RecordedRequest.flush();
    RecordedRequest behind = RecordedRequest.flush();
    queue.submit(first);
    queue.submit(behind);
    io.answer(-Errno.ENOSPC);
    // The kernel says so only once.
    io.answer(0);
    RecordedRequest later = RecordedRequest.flush();
    RecordedRequest zeroes = RecordedRequest.writeZeroes(0, 512, true, false);
    queue.submit(later);
    queue.submit(zeroes);
    io.answer(0);

    assertEquals(IoError.NO_SPACE, first.await());
    assertEquals(IoError.NO_SPACE, behind.await());
    assertEquals(IoError.NO_SPACE, later.await());
    assertEquals(IoError.NO_SPACE, zeroes.await());
  }

  @Test
  void everyPathGivesItsSlotBack() {
    for (int i = 0; i < 3 * DEPTH; i++) {
      RecordedRequest read = RecordedRequest.read(0, 512);
      queue.submit(read);
      io.answer(i % 2 == 0 ? 512 : -Errno.EIO);
      RecordedRequest flush = RecordedRequest.flush();
      queue.submit(flush);
      io.answer(0);
      Broken broken = new Broken(Operation.WRITE);
      queue.submit(broken);
      assertEquals(1, broken.failures, "a payload that cannot be loaded");

      assertEquals(i % 2 == 0 ? null : IoError.IO, read.await());
      assertNull(flush.await());
    }
  }

  @Test
  void nothingThatARequestThrowsReachesTheLoop() {
    for (int i = 0; i < 3 * DEPTH; i++) {
      Broken broken = new Broken(Operation.READ);
      queue.submit(broken);
      io.answer(512);
      assertEquals(1, broken.failures);
    }
  }

  @Test
  void aRequestMayBringTheNextOneWhenItEnds() {
    LoopQueue narrow = queue(true, 1);
    Follower follower = new Follower(narrow);
    narrow.submit(follower);
    io.answer(512);
    io.answer(512);
    narrow.close();

    assertNull(follower.following.await());
  }

  @Test
  void memoryThatTheKernelMayStillWriteToIsNeverFreed() {
    ScriptedFileIo own = new ScriptedFileIo();
    own.neverQuiet();
    LoopQueue stuck = new LoopQueue(file(true), DEPTH, own);
    own.deliverTo(stuck);
    RecordedRequest read = RecordedRequest.read(0, 512);
    stuck.submit(read);

    stuck.close();
    own.answer(512);

    assertNull(read.await());
  }

  private LoopQueue queue(boolean holes) {
    return queue(holes, DEPTH);
  }

  private LoopQueue queue(boolean holes, int depth) {
    LoopQueue made = new LoopQueue(file(holes), depth, io);
    io.deliverTo(made);
    return made;
  }

  private static LoopFile file(boolean holes) {
    return new LoopFile(
        Path.of("/disk.img"),
        -1,
        false,
        new Geometry(1 << 20, 512, 4096, 1 << 20, 1 << 20),
        new Capabilities(false, true, true, holes, true, false, 1),
        Optional.empty(),
        null);
  }

  /// A request whose payload cannot be moved.
  private static class Broken extends InternalRequest {
    private int failures;

    Broken(Operation operation) {
      super(operation);
    }

    @Override
    public long lengthBytes() {
      return 512;
    }

    @Override
    public void loadPayload(long at, MemorySegment into) {
      throw new PayloadException("planted");
    }

    @Override
    public void storePayload(long at, MemorySegment from) {
      throw new IllegalStateException("planted");
    }

    @Override
    public void complete() {
      throw new AssertionError("completed");
    }

    @Override
    public void fail(IoError error, @Nullable Throwable cause) {
      failures++;
    }
  }

  /// A request that submits another when it completes.
  private static final class Follower extends Broken {
    private final LoopQueue queue;
    private final RecordedRequest following = RecordedRequest.read(512, 512);

    Follower(LoopQueue queue) {
      super(Operation.READ);
      this.queue = queue;
    }

    @Override
    public void storePayload(long at, MemorySegment from) {}

    @Override
    public void complete() {
      queue.submit(following);
    }
  }
}
