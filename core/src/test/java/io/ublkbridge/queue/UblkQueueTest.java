package io.ublkbridge.queue;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.UblkAbi;
import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import io.ublkbridge.target.TargetQueue;
import java.lang.foreign.Arena;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import org.HdrHistogram.Histogram;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/// One broken rule each: what the queue does when the kernel or the target is not as it should be.
final class UblkQueueTest {
  private static final int BLOCK = SimulatedDriver.BLOCK;

  private final byte[] disk = new byte[8 * BLOCK];
  private final SimulatedDriver driver = new SimulatedDriver(new SplittableRandom(7), 4, disk);
  private final FaultyTarget target = new FaultyTarget(new SplittableRandom(7), disk);
  private final List<Throwable> failures = new ArrayList<>();
  private final UblkQueue queue = new UblkQueue("queue", driver, target, failures::add);

  @BeforeEach
  void start() {
    driver.serve(queue);
    queue.start();
  }

  private BlockRequest requested(Operation operation) {
    driver.issue(0, operation, BLOCK, BLOCK);
    driver.deliverOne();
    return target.held().getLast();
  }

  @Test
  void flushHasNoRangeAlthoughTheKernelWritesOne() {
    BlockRequest flush = requested(Operation.FLUSH);
    assertEquals(0, flush.offsetBytes());
    assertEquals(0, flush.lengthBytes());
    assertTrue(target.endOne());
    assertEquals(1, queue.counters().of(Operation.FLUSH).ended());
  }

  @Test
  void payloadIsInTheTagsBufferWhereTheRingHasOne() {
    BlockRequest copied = requested(Operation.READ);
    assertEquals(BlockRequest.NO_BUFFER, copied.payloadBuffer());
    assertTrue(target.endOne());

    driver.providePayloadBuffers();
    driver.issue(2, Operation.WRITE, BLOCK, BLOCK);
    driver.deliverOne();
    assertEquals(2, target.held().getLast().payloadBuffer());
    assertTrue(target.endOne());
    assertEquals(BlockRequest.NO_BUFFER, requested(Operation.FLUSH).payloadBuffer());
  }

  @Test
  void payloadThatTheKernelCouldNotRegisterIsCopied() {
    driver.providePayloadBuffers();
    driver.failRegistration();
    assertEquals(BlockRequest.NO_BUFFER, requested(Operation.WRITE).payloadBuffer());
  }

  @Test
  void timeRunsFromTheKernelsRequestToItsEnd() {
    BlockRequest read = requested(Operation.READ);
    driver.pass(Duration.ofMillis(3));
    read.complete();
    Histogram latencies = new Histogram(2);
    queue.counters().of(Operation.READ).addLatenciesTo(latencies);
    assertEquals(1, latencies.getTotalCount());
    assertTrue(latencies.valuesAreEquivalent(3000, latencies.getMaxValue()));
  }

  @Test
  void requestThatEndsTwiceStopsTheQueue() {
    BlockRequest request = requested(Operation.WRITE);
    request.complete();
    assertEquals(List.of(), failures);
    request.complete();
    assertEquals(1, failures.size());
    assertEquals(1, driver.endedCount(), "the kernel hears of it once");
  }

  @Test
  void requestThatFailsAfterItsEndStopsTheQueue() {
    BlockRequest request = requested(Operation.WRITE);
    request.complete();
    request.fail(IoError.IO, null);
    assertEquals(1, failures.size());
    assertEquals(1, driver.endedCount());
  }

  @Test
  void lateCopyIsRefusedBeforeItHitsTheNextRequest() {
    BlockRequest request = requested(Operation.WRITE);
    request.complete();
    assertThrows(
        IllegalStateException.class, () -> request.loadPayload(0, Arena.ofAuto().allocate(BLOCK)));
  }

  @Test
  void copyOutsideTheRequestIsRefused() {
    BlockRequest request = requested(Operation.READ);
    assertThrows(
        IllegalArgumentException.class,
        () -> request.storePayload(1, Arena.ofAuto().allocate(BLOCK)));
    assertThrows(
        IllegalArgumentException.class, () -> request.storePayload(-1, Arena.ofAuto().allocate(1)));
  }

  @Test
  void secondCompletionOfATagIsNotGivenToTheTarget() {
    requested(Operation.READ);
    driver.deliver(0, UblkAbi.UBLK_IO_RES_OK);
    assertEquals(1, target.held().size());
    assertEquals(1, failures.size());
  }

  @Test
  void refusedCommandStopsTheQueue() {
    driver.deliver(2, -Errno.EINVAL);
    assertEquals(1, failures.size());
    assertTrue(failures.getFirst().toString().contains("tag 2"));
  }

  @Test
  void completionAfterTheAbortStopsTheQueue() {
    driver.deliver(1, UblkAbi.UBLK_IO_RES_ABORT);
    driver.deliver(1, UblkAbi.UBLK_IO_RES_OK);
    assertEquals(1, failures.size());
    assertEquals(0, target.held().size());
  }

  @Test
  void onlyTheFirstFailureIsReported() {
    driver.deliver(2, -Errno.EINVAL);
    driver.deliver(3, -Errno.EINVAL);
    assertEquals(1, failures.size());
  }

  @Test
  void targetThatThrowsStopsTheQueue() {
    TargetQueue throwing =
        new TargetQueue() {
          @Override
          public void submit(BlockRequest request) {
            throw new IllegalStateException("broken target");
          }

          @Override
          public void close() {}
        };
    SimulatedDriver kernel = new SimulatedDriver(new SplittableRandom(7), 1, disk);
    UblkQueue broken = new UblkQueue("broken", kernel, throwing, failures::add);
    kernel.serve(broken);
    broken.start();
    kernel.issue(0, Operation.READ, 0, BLOCK);
    kernel.deliverOne();
    assertEquals(1, failures.size());
    assertEquals(0, kernel.endedCount(), "nobody knows whether the target still has it");
  }

  @Test
  void failedLoadInSubmitFailsTheRequest() {
    target.atOnceRate(1);
    driver.copyFailureRate(1);
    driver.issue(0, Operation.WRITE, 0, BLOCK);
    driver.deliverOne();
    assertEquals(1, driver.failedCount());
    assertEquals(List.of(), failures);
  }

  @Test
  void drainsOnlyWhenTheLastTagIsGone() {
    BlockRequest request = requested(Operation.READ);
    driver.stop();
    while (driver.deliverOne()) {}
    assertFalse(queue.drained().toCompletableFuture().isDone(), "a request is still out");
    request.fail(IoError.UNREACHABLE, null);
    assertTrue(driver.deliverOne());
    assertTrue(queue.drained().toCompletableFuture().isDone());
  }

  @Test
  void aQueueThatHoldsEndsWhatTheTargetHasAndStartsNothing() {
    BlockRequest underWay = requested(Operation.WRITE);
    CompletableFuture<Void> rest = queue.hold().toCompletableFuture();
    driver.issue(1, Operation.READ, 3 * BLOCK, BLOCK);
    driver.deliverOne();
    assertEquals(List.of(underWay), target.held());
    assertFalse(rest.isDone(), "a request is under way");
    assertTrue(queue.hasIdleTag());
    assertTrue(target.endOne());
    assertTrue(rest.isDone());
    assertEquals(1, driver.endedCount());

    queue.release();
    assertEquals(1, target.held().size());
    assertTrue(target.endOne());
    assertEquals(2, driver.endedCount());
    assertEquals(requested(Operation.WRITE), target.held().getFirst(), "and all goes on");
    assertEquals(List.of(), failures);
  }

  @Test
  void aQueueWithoutRequestsRestsAtOnce() {
    assertTrue(queue.hold().toCompletableFuture().isDone());
    for (int tag = 0; tag < 4; tag++) {
      driver.issue(tag, Operation.READ, tag * BLOCK, BLOCK);
    }
    while (driver.deliverOne()) {}
    assertFalse(queue.hasIdleTag(), "every tag has a request");
    assertEquals(List.of(), target.held());
  }

  @Test
  void aFlushThatFailedUnnoticedFailsTheNextOneThatIsAskedFor() {
    queue.oweFlushError();
    driver.issue(0, Operation.FLUSH, 0, 0);
    driver.deliverOne();
    assertEquals(1, driver.failedCount());
    driver.issue(0, Operation.FLUSH, 0, 0);
    driver.deliverOne();
    assertTrue(target.endOne());
    assertEquals(1, driver.failedCount(), "once");
    assertEquals(2, driver.endedCount());
  }
}
