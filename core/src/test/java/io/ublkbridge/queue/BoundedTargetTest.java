package io.ublkbridge.queue;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.FixedTarget;
import io.ublkbridge.target.ForwardingTarget;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.RecordedRequest;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetQueue;
import io.ublkbridge.target.UringLoops;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

/// On a disk of 1 MiB with 4 KiB blocks, requests up to 64 KiB and discards up to 128 KiB.
final class BoundedTargetTest {
  private static final int DISK = 1 << 20;
  private static final Geometry GEOMETRY = new Geometry(DISK, 4096, 4096, 64 << 10, 128 << 10);
  private static final Capabilities ALL = new Capabilities(false, true, true, true, true, false, 1);
  private static final UringLoops LOOPS = new UringLoops(1);

  @AfterAll
  static void stopLoops() {
    LOOPS.close();
  }

  /// What becomes of a request whose target would serve it.
  private static @Nullable IoError outcome(Capabilities capabilities, RecordedRequest request)
      throws TargetOpenException {
    FaultyTarget served = new FaultyTarget(new SplittableRandom(1), new byte[DISK]).atOnceRate(1);
    FixedTarget target = new FixedTarget(GEOMETRY, capabilities, served);
    try (TargetQueue queue = new BoundedTarget(target).openQueue(LOOPS.queueContext(8))) {
      queue.submit(request);
    }
    return request.await();
  }

  @Test
  void requestsInsideTheDiskPass() throws Exception {
    assertNull(outcome(ALL, RecordedRequest.read(0, 64 << 10)));
    assertNull(outcome(ALL, RecordedRequest.read(DISK - 4096, 4096)));
    assertNull(outcome(ALL, RecordedRequest.write(4096, new byte[4096], true)));
    assertNull(outcome(ALL, RecordedRequest.discard(0, 128 << 10)));
    assertNull(outcome(ALL, RecordedRequest.flush()));
  }

  @Test
  void requestsOutsideTheDiskFail() throws Exception {
    assertEquals(IoError.IO, outcome(ALL, RecordedRequest.read(DISK, 4096)));
    assertEquals(IoError.IO, outcome(ALL, RecordedRequest.read(DISK - 4096, 8192)));
    assertEquals(IoError.IO, outcome(ALL, RecordedRequest.read(-4096, 4096)));
    assertEquals(IoError.IO, outcome(ALL, RecordedRequest.discard(Long.MAX_VALUE - 4095, 4096)));
  }

  @Test
  void boundsMoveWithTheTarget() throws Exception {
    FaultyTarget served =
        new FaultyTarget(new SplittableRandom(1), new byte[2 * DISK]).atOnceRate(1);
    ForwardingTarget grows =
        new ForwardingTarget(new FixedTarget(GEOMETRY, ALL, served)) {
          private Geometry now = GEOMETRY;

          @Override
          public Geometry geometry() {
            return now;
          }

          @Override
          public void resize(long sizeBytes) {
            now = now.ofSize(sizeBytes);
          }
        };
    BoundedTarget bounded = new BoundedTarget(grows);
    try (TargetQueue queue = bounded.openQueue(LOOPS.queueContext(8))) {
      RecordedRequest early = RecordedRequest.read(DISK, 4096);
      queue.submit(early);
      assertEquals(IoError.IO, early.await());
      bounded.resize(2 * DISK);
      RecordedRequest late = RecordedRequest.read(DISK, 4096);
      queue.submit(late);
      assertNull(late.await());
      RecordedRequest behind = RecordedRequest.read(2 * DISK, 4096);
      queue.submit(behind);
      assertEquals(IoError.IO, behind.await());
    }
  }

  @Test
  void partsOfBlocksFail() throws Exception {
    assertEquals(IoError.IO, outcome(ALL, RecordedRequest.read(512, 4096)));
    assertEquals(IoError.IO, outcome(ALL, RecordedRequest.write(0, new byte[512], false)));
    assertEquals(IoError.IO, outcome(ALL, RecordedRequest.discard(0, 0)));
  }

  @Test
  void requestsLongerThanAllowedFail() throws Exception {
    assertEquals(IoError.IO, outcome(ALL, RecordedRequest.read(0, 68 << 10)));
    assertEquals(IoError.IO, outcome(ALL, RecordedRequest.discard(0, 132 << 10)));
  }

  @Test
  void whatWasNotOfferedIsUnsupported() throws Exception {
    Capabilities neither = new Capabilities(false, true, true, false, false, false, 1);
    assertEquals(IoError.UNSUPPORTED, outcome(neither, RecordedRequest.discard(0, 4096)));
    assertEquals(
        IoError.UNSUPPORTED, outcome(neither, RecordedRequest.writeZeroes(0, 4096, false, true)));
  }

  @Test
  void nothingModifiesAReadOnlyDisk() throws Exception {
    Capabilities readOnly = ALL.asReadOnly();
    assertNull(outcome(readOnly, RecordedRequest.read(0, 4096)));
    assertNull(outcome(readOnly, RecordedRequest.flush()));
    assertEquals(IoError.IO, outcome(readOnly, RecordedRequest.write(0, new byte[4096], false)));
    assertEquals(IoError.IO, outcome(readOnly, RecordedRequest.discard(0, 4096)));
  }
}
