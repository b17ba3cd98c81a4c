package io.ublkbridge.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.kernel.DeviceInfo;
import io.ublkbridge.kernel.UblkException;
import io.ublkbridge.kernel.UblkParams;
import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.FixedTarget;
import io.ublkbridge.target.ForwardingTarget;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Succession;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetQueue;
import java.io.IOException;
import java.time.Duration;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/// What is asked before a device whose server has died goes on.
final class DeviceRecoveryTest {
  private static final String IDENTITY = "the disk";
  private static final Geometry GEOMETRY = new Geometry(1 << 20, 512, 4096, 1 << 20, 1 << 20);
  private static final DeviceInfo INFO = new DeviceInfo(2, 128, 2, 512 << 10, 0, 1, 0x98, 7);
  private static final UblkParams THERE =
      DeviceParameters.of(GEOMETRY, capabilities(4), DeviceOptions.defaults(), 512 << 10).asKept();

  private static Capabilities capabilities(int queues) {
    return new Capabilities(false, true, true, true, true, false, queues);
  }

  private static BlockTarget target(
      Geometry geometry, Capabilities capabilities, Optional<String> identity) {
    return new ForwardingTarget(new FixedTarget(geometry, capabilities, new Nowhere())) {
      @Override
      public Optional<Succession> succession() {
        return identity.map(name -> new Succession(name, Duration.ofSeconds(3)));
      }
    };
  }

  private static Succession check(BlockTarget target) throws TargetOpenException {
    return DeviceRecovery.requireSame(INFO, THERE, IDENTITY, target, DeviceOptions.defaults());
  }

  private static void assertRefused(BlockTarget target, String why) {
    TargetOpenException refused = assertThrows(TargetOpenException.class, () -> check(target));
    assertTrue(String.valueOf(refused.getMessage()).contains(why), refused.getMessage());
  }

  @Test
  void theSameDiskGoesOn() throws Exception {
    Succession same = check(target(GEOMETRY, capabilities(4), Optional.of(IDENTITY)));
    assertEquals(Duration.ofSeconds(3), same.settling());
  }

  @Test
  void anotherDiskDoesNotHoweverAlike() {
    assertRefused(
        target(GEOMETRY, capabilities(4), Optional.of("a copy")), "it was the disk and is a copy");
  }

  @Test
  void aDiskThatEndsWithItsServerDoesNot() {
    assertRefused(target(GEOMETRY, capabilities(4), Optional.empty()), "ends with its server");
  }

  @Test
  void aDiskOfAnotherSizeDoesNot() {
    Geometry longer = new Geometry(1 << 21, 512, 4096, 1 << 20, 1 << 20);
    assertRefused(
        target(longer, capabilities(4), Optional.of(IDENTITY)),
        "its size was 1048576 bytes and is 2097152");
  }

  @Test
  void aDiskThatTakesLessAtOnceDoesNot() {
    Geometry shorter = new Geometry(1 << 20, 512, 4096, 4096, 1 << 20);
    assertRefused(
        target(shorter, capabilities(4), Optional.of(IDENTITY)),
        "its longest request was 524288 bytes and is 4096");
    assertRefused(
        target(GEOMETRY, capabilities(1), Optional.of(IDENTITY)), "it had 2 queues and has 1");
  }

  @Test
  void aFlushThatFailsIsToldFromOneThatHangs() throws Exception {
    DeviceFlush done = new DeviceFlush();
    done.complete();
    done.await(Duration.ofSeconds(1));
    DeviceFlush failed = new DeviceFlush();
    failed.fail(IoError.IO, new IOException("a page is lost"));
    InheritedWritesException lost =
        assertThrows(InheritedWritesException.class, () -> failed.await(Duration.ofSeconds(1)));
    assertTrue(String.valueOf(lost.getMessage()).contains("a page is lost"), lost.getMessage());
    assertThrows(UblkException.class, () -> new DeviceFlush().await(Duration.ofMillis(1)));
  }

  private record Nowhere() implements TargetQueue {
    @Override
    public void submit(BlockRequest request) {
      request.complete();
    }

    @Override
    public void close() {}
  }
}
