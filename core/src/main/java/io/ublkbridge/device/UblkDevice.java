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
import io.ublkbridge.target.SuccessionFile;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetQueue;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
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
///
/// [DeviceRecovery] begins in the middle, with a device that is there already.
public final class UblkDevice {
  private static final Logger log = LoggerFactory.getLogger(UblkDevice.class);
  private static final long REQUIRED_FLAGS =
      UblkAbi.UBLK_F_USER_COPY | UblkAbi.UBLK_F_CMD_IOCTL_ENCODE;
  private static final long RECOVERY_FLAGS =
      UblkAbi.UBLK_F_USER_RECOVERY | UblkAbi.UBLK_F_USER_RECOVERY_REISSUE;
  private static final Duration COMMAND_DEADLINE = Duration.ofSeconds(30);

  /// How long the kernel may look for a tag without a request; there was one a moment ago.
  private static final Duration QUIESCE_PATIENCE = Duration.ofSeconds(2);

  /// For a target to make durable what it has acknowledged before; as long as for a detach.
  private static final Duration FLUSH_DEADLINE = Duration.ofMinutes(10);

  /// A queue's kernel side, target side, and the loop that both live on.
  private record Lane(IoUringDriver driver, TargetQueue queue, IoEventLoop loop) {}

  private final ControlDevice control;
  private final DeviceInfo info;
  private final CharDevice charDevice;
  private final List<Lane> lanes = new ArrayList<>();
  private boolean flushes;

  /// Whether this process gives the device up itself.
  private volatile boolean ending;

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
    boolean recovery = options.recovery() && target.succession().isPresent();
    if (options.recovery() && !recovery) {
      log.info("if this server dies, its disk goes with it: no other could go on with this target");
    }
    long features = control.features();
    long flags = REQUIRED_FLAGS;
    if (recovery) {
      flags |= RECOVERY_FLAGS | (features & UblkAbi.UBLK_F_QUIESCE);
    }
    if (!options.partitionScan()) {
      if ((features & UblkAbi.UBLK_F_NO_AUTO_PART_SCAN) == 0) {
        throw new UblkException(
            "leaving partitions alone, which takes Linux 7.0 or newer,", Errno.EOPNOTSUPP);
      }
      flags |= UblkAbi.UBLK_F_NO_AUTO_PART_SCAN;
    }
    if (target.usesPayloadBuffers()) {
      flags |= features & UblkAbi.UBLK_F_AUTO_BUF_REG;
    }
    DeviceInfo info =
        add(
            control,
            DeviceInfo.wanted(queues, options.depth(), maxIo, options.id(), flags, newMark()));
    try {
      listener.added(info.id());
      control.setParams(
          info.id(),
          DeviceParameters.of(
              target.geometry(), target.capabilities(), options, info.maxIoBytes()));
      UblkDevice device = new UblkDevice(control, info, CharDevice.open(info));
      device.serve(target, loops, listener);
      device.watchFor(listener::takenAway);
      return device;
    } catch (TargetOpenException | RuntimeException e) {
      deleteAfterFailure(control, info.id(), e);
      throw e;
    }
  }

  /// Which no other device of this machine has.
  private static long newMark() {
    return new SplittableRandom().nextLong();
  }

  private static DeviceInfo add(ControlDevice control, DeviceInfo wanted) {
    DeviceInfo info = control.add(wanted, COMMAND_DEADLINE);
    if (!isAsWanted(info, wanted)) {
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

  /// The kernel clears flags that it does not know, and lowers the number of queues.
  static boolean isAsWanted(DeviceInfo info, DeviceInfo wanted) {
    return (info.flags() & wanted.flags()) == wanted.flags()
        && info.queues() <= wanted.queues()
        && info.depth() == wanted.depth()
        && info.maxIoBytes() == wanted.maxIoBytes()
        && info.mark() == wanted.mark();
  }

  /// Whether this device's disk stays when its server dies.
  public boolean recoverable() {
    return (info.flags() & RECOVERY_FLAGS) == RECOVERY_FLAGS;
  }

  /// Goes on with a device for which START_USER_RECOVERY was done.
  ///
  /// On failure this process must end: only then does the kernel let the disk wait again.
  ///
  /// @param info the kernel's word on it
  /// @throws InheritedWritesException if the target cannot make durable what it acknowledged to the
  ///   old server
  static UblkDevice resume(
      ControlDevice control,
      DeviceInfo info,
      BoundedTarget target,
      QueueLoops loops,
      DeviceListener listener)
      throws TargetOpenException, InheritedWritesException {
    UblkDevice device = new UblkDevice(control, info, CharDevice.open(info));
    device.openLanes(target, loops, listener);
    device.fetch();
    if (device.flushes) {
      // So this one owes nobody anything; a target that has kept what was not flushed does it
      // again.
      device.flush().await(FLUSH_DEADLINE);
    }
    control.endRecovery(info.id(), ProcessHandle.current().pid(), COMMAND_DEADLINE);
    device.watchFor(listener::takenAway);
    return device;
  }

  private void watchFor(Runnable takenAway) {
    CompletableFuture<?>[] drained =
        lanes.stream()
            .map(lane -> lane.driver().queue().drained().toCompletableFuture())
            .toArray(CompletableFuture[]::new);
    var _ =
        CompletableFuture.allOf(drained)
            .thenRun(() -> {
              if (!ending) {
                takenAway.run();
              }
            });
  }

  /// One queue's flush covers what was acknowledged on every queue.
  private DeviceFlush flush() {
    Lane lane = lanes.getFirst();
    DeviceFlush flush = new DeviceFlush();
    lane.loop().execute(() -> lane.queue().submit(flush));
    return flush;
  }

  /// Brings the disk to rest without anybody being told: what the target has goes on to its end,
  /// all of it becomes durable, and new requests wait in here until [#release]. Blocks.
  ///
  /// @param patience for requests that wait; before that the target has as long to flush as for a
  ///   detach
  /// @return when they began to wait
  /// @throws UblkException if it does not come to rest in time, or cannot flush, which the next
  ///   flush of a user is then told too; the disk is served as before
  public Instant hold(Duration patience) {
    // First while everybody goes on, so that little is left for the time when they wait.
    flushOnBehalf(FLUSH_DEADLINE);
    Instant began = Instant.now();
    try {
      List<Future<CompletionStage<Void>>> rests = new ArrayList<>();
      for (Lane lane : lanes) {
        rests.add(lane.loop().submit(lane.driver().queue()::hold));
      }
      for (Future<CompletionStage<Void>> rest : rests) {
        CompletionStage<Void> all = await(rest, "holding its requests");
        await(all.toCompletableFuture(), patience, "what was under way");
      }
      flushOnBehalf(patience);
      return began;
    } catch (RuntimeException e) {
      release();
      throw e;
    }
  }

  private void flushOnBehalf(Duration patience) {
    if (!flushes) {
      return;
    }
    DeviceFlush flush = flush();
    List<Lane> all = List.copyOf(lanes);
    flush.whenRefused(
        () -> all.forEach(each -> each.loop().execute(each.driver().queue()::oweFlushError)));
    try {
      flush.await(patience);
    } catch (InheritedWritesException e) {
      throw new UblkException(String.valueOf(e.getMessage()));
    }
  }

  /// Serves on after [#hold].
  public void release() {
    lanes.forEach(lane -> lane.loop().execute(lane.driver().queue()::release));
  }

  /// Whether this kernel can give a disk that is served another size.
  public boolean resizes() {
    return (control.features() & UblkAbi.UBLK_F_UPDATE_SIZE) != 0;
  }

  /// Gives the disk the size that its target has by now, at rest. Blocks.
  ///
  /// @param target of this device
  /// @param targetBytes as [BlockTarget#presentSize] has told
  /// @param diskBytes the part of it that is whole blocks of the disk
  /// @throws UblkException if it does not come to rest within `patience`, or the kernel refuses
  public void resize(BlockTarget target, long targetBytes, long diskBytes, Duration patience) {
    var _ = hold(patience);
    try {
      // Whatever fails, the kernel never knows of bytes that are not there.
      if (targetBytes > target.geometry().sizeBytes()) {
        target.resize(targetBytes);
        control.updateSize(id(), diskBytes, COMMAND_DEADLINE);
      } else {
        control.updateSize(id(), diskBytes, COMMAND_DEADLINE);
        target.resize(targetBytes);
      }
    } finally {
      release();
    }
  }

  /// Gives the disk up after [#hold], so that another process can go on with it as soon as this one
  /// has ended, as it must now. Nothing that this process was asked for is lost: the kernel asks
  /// the next one for what was held.
  public void letGo() {
    ending = true;
    boolean quiesces = (info.flags() & UblkAbi.UBLK_F_QUIESCE) != 0;
    for (Lane lane : lanes) {
      // Also gives the ring the time to take the last commits.
      quiesces &= await(lane.loop().submit(lane.driver().queue()::hasIdleTag), "looking at tags");
    }
    if (quiesces) {
      try {
        control.quiesce(id(), QUIESCE_PATIENCE, COMMAND_DEADLINE);
      } catch (UblkException e) {
        // The end of this process does the same, with less order.
        log.warn("{}: {}", path(), e.getMessage());
      }
    }
    lanes.forEach(lane -> lane.queue().close());
  }

  private static void deleteAfterFailure(ControlDevice control, int id, Exception reason) {
    try {
      control.delete(id, COMMAND_DEADLINE);
    } catch (UblkException e) {
      reason.addSuppressed(e);
    }
  }

  private void serve(BlockTarget target, QueueLoops loops, DeviceListener listener)
      throws TargetOpenException {
    try {
      openLanes(target, loops, listener);
      fetch();
      control.start(id(), ProcessHandle.current().pid(), COMMAND_DEADLINE);
    } catch (TargetOpenException | RuntimeException e) {
      abandonStart(e);
      throw e;
    }
  }

  private void openLanes(BlockTarget target, QueueLoops loops, DeviceListener listener)
      throws TargetOpenException {
    flushes = target.capabilities().volatileCache();
    Optional<SuccessionFile> file =
        recoverable() ? listener.successionFile(id()) : Optional.empty();
    for (int index = 0; index < info.queues(); index++) {
      QueueContext context =
          new QueueContext(
              index, info.queues(), info.depth(), info.maxIoBytes(), loops.loop(index), file);
      TargetQueue queue = target.openQueue(context);
      IoUringDriver driver =
          new IoUringDriver(
              charDevice, context, "ublkb" + id() + " queue " + index, queue, listener::failed);
      lanes.add(new Lane(driver, queue, context.eventLoop()));
    }
  }

  private void fetch() {
    for (Lane lane : lanes) {
      IoRegistration registration =
          await(lane.loop().register(lane.driver()), "joining its event loop");
      await(lane.loop().submit(() -> lane.driver().start(registration)), "fetching its tags");
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
    ending = true;
    unlessGone(() -> control.stop(id(), deadline));
    releaseLanes(deadline);
    charDevice.close();
    unlessGone(() -> control.delete(id(), deadline));
  }

  /// Somebody else may have deleted it, who waited only for us to let go.
  private static void unlessGone(Runnable command) {
    try {
      command.run();
    } catch (UblkException e) {
      if (e.errno() != Errno.ENODEV) {
        throw e;
      }
    }
  }

  /// Takes the disk away unless somebody has it open; [#stop] is for the rest. Kernels before 7.0
  /// cannot tell, and leave all of it to that.
  ///
  /// @return false if somebody has
  /// @throws UblkException if it did not end in time
  public boolean stopUnlessOpen(Duration deadline) {
    if ((control.features() & UblkAbi.UBLK_F_SAFE_STOP_DEV) == 0) {
      return true;
    }
    ending = true;
    try {
      control.tryStop(id(), deadline);
      return true;
    } catch (UblkException e) {
      ending = false;
      if (e.errno() != Errno.EBUSY) {
        throw e;
      }
      return false;
    }
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
