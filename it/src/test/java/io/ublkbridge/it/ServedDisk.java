package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.device.DeviceListener;
import io.ublkbridge.device.DeviceOptions;
import io.ublkbridge.device.QueueLoops;
import io.ublkbridge.device.TargetRegistry;
import io.ublkbridge.device.TargetStack;
import io.ublkbridge.device.UblkDevice;
import io.ublkbridge.kernel.ControlDevice;
import io.ublkbridge.queue.BoundedTarget;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.Outage;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetUri;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.function.UnaryOperator;

/// A disk served from the test's own process, by the classes that the server process is made of.
final class ServedDisk implements Disk {
  private static final Duration DEADLINE = Duration.ofMinutes(1);

  private final QueueLoops loops;
  private final ControlDevice control;
  private final BlockTarget target;
  private final UblkDevice device;

  private ServedDisk(
      QueueLoops loops, ControlDevice control, BlockTarget target, UblkDevice device) {
    this.loops = loops;
    this.control = control;
    this.target = target;
    this.device = device;
  }

  /// Whether the kernel's driver has a feature, one of `UBLK_F_*`.
  static boolean kernelHas(long feature) {
    try (ControlDevice control = ControlDevice.open()) {
      return (control.features() & feature) != 0;
    }
  }

  /// A change to the default options.
  interface Option extends UnaryOperator<DeviceOptions> {}

  static Option queues(int queues) {
    return o ->
        new DeviceOptions(o.id(), queues, o.depth(), o.maxIoBytes(), o.blockBytes(), o.readOnly());
  }

  static Option depth(int depth) {
    return o ->
        new DeviceOptions(o.id(), o.queues(), depth, o.maxIoBytes(), o.blockBytes(), o.readOnly());
  }

  static Option maxIo(int bytes) {
    return o ->
        new DeviceOptions(o.id(), o.queues(), o.depth(), bytes, o.blockBytes(), o.readOnly());
  }

  static Option blocks(int bytes) {
    return o ->
        new DeviceOptions(o.id(), o.queues(), o.depth(), o.maxIoBytes(), bytes, o.readOnly());
  }

  static Option withoutPartitions() {
    return o ->
        new DeviceOptions(
            o.id(),
            o.queues(),
            o.depth(),
            o.maxIoBytes(),
            o.blockBytes(),
            o.readOnly(),
            o.recovery(),
            false);
  }

  static ServedDisk serve(String uri, Option... changes) {
    return serve(uri, Map.of(), changes);
  }

  /// @param targetOptions the command's options that are the target's, by name
  static ServedDisk serve(String uri, Map<String, String> targetOptions, Option... changes) {
    DeviceOptions options = DeviceOptions.defaults();
    for (Option change : changes) {
      options = change.apply(options);
    }
    int cpus = Runtime.getRuntime().availableProcessors();
    QueueLoops loops = new QueueLoops(options.loops(cpus), options.depth());
    ControlDevice control = ControlDevice.open();
    try {
      BoundedTarget target =
          TargetStack.open(
              TargetRegistry.load(),
              TargetUri.parse(uri),
              new OpenContext(loops.loop(0), options.readOnly(), DEADLINE, targetOptions));
      UblkDevice device = UblkDevice.start(control, options, target, loops, new FailingTheTest());
      return new ServedDisk(loops, control, target, device);
    } catch (TargetOpenException e) {
      throw new AssertionError(e);
    }
  }

  /// A queue that cannot go on ends the process, in tests as in the server: it would hang the disk.
  private static final class FailingTheTest implements DeviceListener {
    @Override
    public void added(int id) {}

    @Override
    public void failed(Throwable reason) {
      System.out.println("a queue cannot go on: " + reason);
      Runtime.getRuntime().halt(70);
    }
  }

  /// What the target waits for, if it does.
  Optional<Outage> outage() {
    return target.outage();
  }

  /// Takes the disk away unless somebody has it open.
  boolean stopUnlessOpen() {
    return device.stopUnlessOpen(DEADLINE);
  }

  /// What the target says of itself.
  Map<String, Object> details() {
    return target.details();
  }

  @Override
  public Path path() {
    return device.path();
  }

  @Override
  public void close() {
    target.stopping();
    // What udev or a program that just ended still holds open does not keep the disk.
    device.stop(DEADLINE);
    target.close();
    loops.close();
    control.close();
    assertTrue(Files.notExists(device.path()), () -> device.path() + " is gone after its stop");
  }
}
