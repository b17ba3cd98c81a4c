package io.ublkbridge.device;

import io.ublkbridge.kernel.ControlDevice;
import io.ublkbridge.kernel.Deadline;
import io.ublkbridge.kernel.DeviceInfo;
import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.UblkException;
import io.ublkbridge.kernel.UblkParams;
import io.ublkbridge.queue.BoundedTarget;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Succession;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.time.Duration;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Takes over a device whose server has died or has let go of it, while its users wait.
///
/// ```
/// the kernel has noticed the death → same device? → target opened, same disk? → what the dead
/// server had sent is over → START_USER_RECOVERY → open, map → FETCH every tag → flush →
/// END_USER_RECOVERY
/// ```
///
/// Nothing is changed before both questions are answered with yes, and no request goes on before
/// the last step. On control threads only.
public final class DeviceRecovery {
  private static final Logger log = LoggerFactory.getLogger(DeviceRecovery.class);

  /// How long the kernel may take to let go of a dead server.
  private static final Duration RELEASE_DEADLINE = Duration.ofSeconds(20);

  private static final Duration COMMAND_DEADLINE = Duration.ofSeconds(30);

  private final ControlDevice control;
  private final DeviceInfo info;

  private DeviceRecovery(ControlDevice control, DeviceInfo info) {
    this.control = control;
    this.info = info;
  }

  /// Waits until a device waits for a server.
  ///
  /// @param mark what its first server called it, see [DeviceInfo#mark]
  /// @throws UblkException with ENODEV if it is gone, or another one has its id; without an error
  ///   number if its server does not let go of it, or it does not wait for another
  public static DeviceRecovery await(ControlDevice control, int id, long mark) {
    Deadline deadline = Deadline.after(RELEASE_DEADLINE);
    DeviceInfo info = control.info(id);
    while (DeviceState.of(info.state()) == DeviceState.LIVE && deadline.pause()) {
      info = control.info(id);
    }
    if (info.mark() != mark) {
      throw new UblkException(UblkDevice.path(id) + " is another device by now", Errno.ENODEV);
    }
    DeviceState state = DeviceState.of(info.state());
    if (state != DeviceState.QUIESCED) {
      throw new UblkException(
          UblkDevice.path(id)
              + (state == DeviceState.LIVE
                  ? " still has a server"
                  : " does not wait for a server, the kernel calls it " + state));
    }
    return new DeviceRecovery(control, info);
  }

  /// Goes on with the device, if the target is what it was. If this fails the disk still waits once
  /// this process has ended, as it must then.
  ///
  /// @param settled whether the old server had ended all that it was asked for
  /// @param identity of the disk, as its first server found it; see [Succession#identity]
  /// @param target opened just now; stays the caller's to close
  /// @param options as they were when the device was made, with its id
  /// @param listener told that a queue cannot go on
  /// @throws TargetOpenException if the target is not the same disk, or its queues cannot be opened
  /// @throws InheritedWritesException if it has lost what it acknowledged
  /// @throws UblkException if the kernel refuses a step
  public UblkDevice resume(
      boolean settled,
      String identity,
      BoundedTarget target,
      DeviceOptions options,
      QueueLoops loops,
      DeviceListener listener)
      throws TargetOpenException, InheritedWritesException {
    Succession succession = requireSame(info, control.params(info.id()), identity, target, options);
    if (!settled) {
      settle(succession.settling());
    }
    startRecovery();
    UblkDevice device = UblkDevice.resume(control, info, target, loops, listener);
    log.info("took over {}", device.path());
    return device;
  }

  /// Makes sure that a target is the disk that the kernel and the record know.
  ///
  /// @param there what the kernel was told when the disk was made
  static Succession requireSame(
      DeviceInfo info, UblkParams there, String identity, BlockTarget target, DeviceOptions options)
      throws TargetOpenException {
    Succession succession =
        target.succession().orElseThrow(() -> changed("a disk of this kind ends with its server"));
    if (!succession.identity().equals(identity)) {
      throw changed("it was " + identity + " and is " + succession.identity());
    }
    int maxIoBytes = Math.min(info.maxIoBytes(), target.geometry().maxIoBytes());
    UblkParams made =
        DeviceParameters.of(target.geometry(), target.capabilities(), options, maxIoBytes);
    Optional<String> difference = DeviceParameters.difference(there, made);
    if (difference.isPresent()) {
      throw changed(difference.get());
    }
    if (target.capabilities().queues() < info.queues()) {
      throw changed(
          "it had %d queues and has %d".formatted(info.queues(), target.capabilities().queues()));
    }
    return succession;
  }

  private static TargetOpenException changed(String how) {
    return new TargetOpenException(
        Reason.FAILED,
        "the target has changed: " + how,
        "bring back what was there; or detach --force, which fails all I/O that waits");
  }

  private static void settle(Duration time) {
    if (time.isZero()) {
      return;
    }
    log.info("giving what the old server had sent {} s to arrive", time.toSeconds());
    Deadline deadline = Deadline.after(time);
    while (deadline.pause()) {
      // Nothing tells when it has.
    }
  }

  /// The kernel refuses with EBUSY while it still closes the dead server's files.
  private void startRecovery() {
    Deadline deadline = Deadline.after(RELEASE_DEADLINE);
    while (true) {
      try {
        control.startRecovery(info.id(), COMMAND_DEADLINE);
        return;
      } catch (UblkException e) {
        if (e.errno() != Errno.EBUSY || !deadline.pause()) {
          throw e;
        }
      }
    }
  }
}
