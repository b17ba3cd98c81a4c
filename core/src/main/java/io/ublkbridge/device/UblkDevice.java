package io.ublkbridge.device;

import io.netty.channel.IoEventLoop;
import io.netty.channel.IoRegistration;
import io.ublkbridge.kernel.CharDevice;
import io.ublkbridge.kernel.ControlDevice;
import io.ublkbridge.kernel.DeviceInfo;
import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.UblkAbi;
import io.ublkbridge.kernel.UblkException;
import io.ublkbridge.queue.BoundedTarget;
import io.ublkbridge.queue.IoUringDriver;
import io.ublkbridge.queue.QueueCounters;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetQueue;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// One served device: `/dev/ublkbN` for the world, a [BlockTarget] behind it.
///
/// Started and stopped from control threads, never from an event loop.
///
/// ```
/// ADD_DEV → SET_PARAMS → open, map → open target queues → FETCH every tag → START_DEV → … →
/// STOP_DEV → every tag aborted → leave the ring → close target queues → unmap, close → DEL_DEV
/// ```
public final class UblkDevice {
  private static final Logger log = LoggerFactory.getLogger(UblkDevice.class);
  private static final long REQUIRED_FLAGS =
      UblkAbi.UBLK_F_USER_COPY | UblkAbi.UBLK_F_CMD_IOCTL_ENCODE;
  private static final Duration COMMAND_DEADLINE = Duration.ofSeconds(30);

  /// A queue's kernel side, target side, and the loop that both live on.
  private record Lane(IoUringDriver driver, TargetQueue queue, IoEventLoop loop) {}

  private final ControlDevice control;
  private final DeviceInfo info;
  private final CharDevice charDevice;
  private final List<Lane> lanes = new ArrayList<>();

  private UblkDevice(ControlDevice control, DeviceInfo info, CharDevice charDevice) {
    this.control = control;
    this.info = info;
    this.charDevice = charDevice;
  }

  /// Creates and starts a device; on return its node exists and is served. On failure nothing of it
  /// is left.
  ///
  /// @param target of [TargetStack#open]; stays the caller's to close, after [#stop]
  /// @param listener told the id before the disk appears, and that a queue cannot go on
  /// @throws TargetOpenException if a target queue cannot be opened
  /// @throws UblkException if the kernel refuses a step
  public static UblkDevice start(
      ControlDevice control,
      DeviceOptions options,
      BoundedTarget target,
      QueueLoops loops,
      DeviceListener listener)
      throws TargetOpenException {
    int cpus = Runtime.getRuntime().availableProcessors();
    int queues = Math.min(loops.count(), options.queuesFor(target.capabilities(), cpus));
    if (options.queues() > queues) {
      log.info("using {} of {} queues: more are no use to this target", queues, options.queues());
    }
    int maxIo = Math.min(options.maxIoBytes(), target.geometry().maxIoBytes());
    DeviceInfo info = add(control, options, queues, maxIo);
    try {
      listener.added(info.id());
      control.setParams(
          info.id(),
          DeviceParameters.of(
              target.geometry(), target.capabilities(), options, info.maxIoBytes()));
      UblkDevice device = new UblkDevice(control, info, CharDevice.open(info.id(), info.depth()));
      device.serve(target, loops, listener::failed);
      return device;
    } catch (TargetOpenException | RuntimeException e) {
      deleteAfterFailure(control, info.id(), e);
      throw e;
    }
  }

  private static DeviceInfo add(
      ControlDevice control, DeviceOptions options, int queues, int maxIoBytes) {
    DeviceInfo wanted =
        DeviceInfo.wanted(queues, options.depth(), maxIoBytes, options.id(), REQUIRED_FLAGS);
    DeviceInfo info = control.add(wanted, COMMAND_DEADLINE);
    boolean asWanted =
        (info.flags() & REQUIRED_FLAGS) == REQUIRED_FLAGS
            && info.queues() <= queues
            && info.depth() == options.depth()
            && info.maxIoBytes() == maxIoBytes;
    if (!asWanted) {
      UblkException refused =
          new UblkException(
              "the kernel made something else of the device than was asked for: "
                  + info
                  + " instead of "
                  + wanted);
      deleteAfterFailure(control, info.id(), refused);
      throw refused;
    }
    return info;
  }

  private static void deleteAfterFailure(ControlDevice control, int id, Exception reason) {
    try {
      control.delete(id, COMMAND_DEADLINE);
    } catch (UblkException e) {
      reason.addSuppressed(e);
    }
  }

  private void serve(BlockTarget target, QueueLoops loops, Consumer<Throwable> failureHandler)
      throws TargetOpenException {
    try {
      for (int index = 0; index < info.queues(); index++) {
        QueueContext context =
            new QueueContext(
                index, info.queues(), info.depth(), info.maxIoBytes(), loops.loop(index));
        TargetQueue queue = target.openQueue(context);
        IoUringDriver driver =
            new IoUringDriver(
                charDevice, context, "ublkb" + id() + " queue " + index, queue, failureHandler);
        lanes.add(new Lane(driver, queue, context.eventLoop()));
      }
      for (Lane lane : lanes) {
        IoRegistration registration =
            await(lane.loop().register(lane.driver()), "joining its event loop");
        await(lane.loop().submit(() -> lane.driver().start(registration)), "fetching its tags");
      }
      control.start(id(), ProcessHandle.current().pid(), COMMAND_DEADLINE);
    } catch (TargetOpenException | RuntimeException e) {
      abandonStart(e);
      throw e;
    }
  }

  /// After STOP_DEV each fetched tag comes back, also when the device was never started.
  private void abandonStart(Exception reason) {
    try {
      control.stop(id(), COMMAND_DEADLINE);
      releaseLanes(COMMAND_DEADLINE);
    } catch (RuntimeException e) {
      reason.addSuppressed(e);
    }
    charDevice.close();
  }

  public int id() {
    return info.id();
  }

  /// The disk's node.
  public Path path() {
    return path(id());
  }

  public static Path path(int id) {
    return Path.of("/dev/ublkb" + id);
  }

  /// What the kernel granted.
  public DeviceInfo info() {
    return info;
  }

  public List<QueueCounters> counters() {
    return lanes.stream().map(lane -> lane.driver().queue().counters()).toList();
  }

  /// Takes the disk away, lets every request in flight end, and deletes the device. The page cache
  /// is flushed by the kernel first. Blocks; the target must be able to serve until this returns.
  ///
  /// @param deadline for the requests in flight
  /// @throws UblkException if it did not end in time; the device is then still there
  public void stop(Duration deadline) {
    control.stop(id(), deadline);
    releaseLanes(deadline);
    charDevice.close();
    control.delete(id(), deadline);
  }

  /// Deletes a device whose server is gone, or takes it away from one that does not answer.
  public static void forceDelete(ControlDevice control, int id, Duration deadline) {
    control.delete(id, deadline);
  }

  /// The kernel's word on a device, or null if there is none with this id.
  public static @Nullable DeviceState state(ControlDevice control, int id) {
    try {
      return DeviceState.of(control.info(id).state());
    } catch (UblkException e) {
      if (e.errno() == Errno.ENODEV || e.errno() == Errno.ENOENT || e.errno() == Errno.EINVAL) {
        return null;
      }
      throw e;
    }
  }

  private void releaseLanes(Duration deadline) {
    for (Lane lane : lanes) {
      if (lane.driver().started()) {
        await(
            lane.driver().queue().drained().toCompletableFuture(), deadline, "giving up its tags");
      }
      lane.loop().execute(lane.driver()::stop);
      await(lane.driver().stopped(), "leaving its event loop");
      lane.queue().close();
    }
    lanes.clear();
  }

  private <T> T await(Future<T> future, String what) {
    return await(future, COMMAND_DEADLINE, what);
  }

  private <T> T await(Future<T> future, Duration deadline, String what) {
    try {
      return future.get(deadline.toMillis(), TimeUnit.MILLISECONDS);
    } catch (TimeoutException e) {
      throw new UblkException(
          path() + " did not finish " + what + " within " + deadline.toSeconds() + " s");
    } catch (ExecutionException e) {
      throw new IllegalStateException(path() + " failed at " + what, e.getCause());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new UblkException(path() + " was interrupted while " + what);
    }
  }
}
