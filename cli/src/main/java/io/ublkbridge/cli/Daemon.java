package io.ublkbridge.cli;

import io.ublkbridge.cli.ProcessTable.Identity;
import io.ublkbridge.cli.ServerRequest.Task;
import io.ublkbridge.device.DeviceListener;
import io.ublkbridge.device.DeviceRecovery;
import io.ublkbridge.device.InheritedWritesException;
import io.ublkbridge.device.LoopWatch;
import io.ublkbridge.device.QueueLoops;
import io.ublkbridge.device.StuckLoopException;
import io.ublkbridge.device.TargetRegistry;
import io.ublkbridge.device.TargetStack;
import io.ublkbridge.device.UblkDevice;
import io.ublkbridge.kernel.ControlDevice;
import io.ublkbridge.kernel.Deadline;
import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.UblkException;
import io.ublkbridge.queue.BoundedTarget;
import io.ublkbridge.queue.QueueCounters;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.Outage;
import io.ublkbridge.target.SuccessionFile;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetUri;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// The process that serves one device, from opening its target to deleting the device.
///
/// Everything here runs on the main thread, except the stop, which runs on a shutdown hook: a
/// signal, a request through the control socket and a device that is gone take the same way.
final class Daemon {
  private static final Logger log = LoggerFactory.getLogger(Daemon.class);

  /// How long requests in flight may take when the device is stopped.
  private static final Duration STOP_DEADLINE = Duration.ofMinutes(5);

  /// How long it may take until everything that a dead server had claimed is free again.
  private static final Duration CLAIMS_DEADLINE = Duration.ofSeconds(5);

  /// How long I/O may wait until nothing is under way, for the device to be handed over.
  private static final Duration HOLD_PATIENCE = Duration.ofSeconds(30);

  /// How long the rest of a handing over may take, in which nothing can be lost any more.
  private static final Duration LET_GO_DEADLINE = Duration.ofSeconds(5);

  private static final int STATUS_QUEUE_FAILED = 70;

  private final ServerRequest request;
  private final ReportPipe reports;
  private final DeviceFiles files;
  private final CountDownLatch stopAsked = new CountDownLatch(1);

  /// Held by whoever gives the device up: it is stopped, or handed over, once.
  private final Object givingUp = new Object();

  /// How long I/O has waited for this server; zero if nobody can say.
  private Duration pause = Duration.ZERO;

  private @Nullable QueueLoops loops;
  private @Nullable LoopWatch watch;
  private @Nullable BlockTarget target;
  private @Nullable ControlDevice control;
  private @Nullable ControlSocket socket;
  private volatile @Nullable UblkDevice device;

  /// Whether somebody else has stopped or deleted the device, without a word.
  private volatile boolean takenAway;

  /// How many requests had failed when somebody said that he would stop the device; else negative.
  private volatile long failedBeforeStop = -1;

  private Daemon(ServerRequest request, ReportPipe reports, DeviceFiles files) {
    this.request = request;
    this.reports = reports;
    this.files = files;
  }

  /// Serves until told to stop.
  ///
  /// @param argument a [ServerRequest]
  static void run(String argument, Host host) throws IOException {
    HeapPages.touch();
    ServerRequest request = ServerRequest.ofJson(argument);
    try (ReportPipe reports = ReportPipe.open()) {
      Daemon daemon = new Daemon(request, reports, new DeviceFiles(host, request));
      Runtime.getRuntime().addShutdownHook(new Thread(daemon::end, "stop"));
      try {
        daemon.start();
      } catch (CommandFailure failure) {
        log.error("{}", failure.message(), failure);
        daemon.abandon();
        reports.send(new ServerReport.Failed(failure));
        Runtime.getRuntime().halt(failure.exitCode().status());
      }
      daemon.awaitStop();
    }
    System.exit(0);
  }

  private void start() throws CommandFailure {
    String what = request.what();
    try {
      ServedDevice served = request.task() == Task.ATTACH ? make() : takeOver();
      UblkDevice device = served.device();
      socket = ControlSocket.open(files.socket(), new Replies(served));
      watch = LoopWatch.start(Objects.requireNonNull(loops), stuck -> stuck(device, stuck));
      MountNamespace.keepOnlyNeeded(request.mountNamespace());
      log.info("serving {} ({}), {}", device.path(), request.source(), device.info());
      reports.send(new ServerReport.Ready(device.id(), pause));
    } catch (TargetOpenException e) {
      throw CommandFailure.of(what, e);
    } catch (UblkException e) {
      throw CommandFailure.of(what, e);
    } catch (InheritedWritesException e) {
      String remedy = "detach --force, which fails all I/O that waits; then check the file system";
      throw new CommandFailure(ExitCode.FAILURE, what + ": " + e.getMessage(), remedy, e);
    } catch (NameTakenException e) {
      throw new CommandFailure(ExitCode.TAKEN, what + ": " + e.getMessage(), e.remedy(), e);
    } catch (IOException | RuntimeException e) {
      throw new CommandFailure(ExitCode.FAILURE, what + ": " + e, "attach with --verbose", e);
    }
  }

  private ServedDevice make() throws TargetOpenException, IOException {
    log.info("attaching {} as {}", request.source(), request.name());
    int cpus = Runtime.getRuntime().availableProcessors();
    QueueLoops loops = new QueueLoops(request.device().loops(cpus), request.device().depth());
    this.loops = loops;
    BoundedTarget target = openTarget(loops);
    this.target = target;
    ControlDevice control = ControlDevice.open();
    this.control = control;
    UblkDevice device = UblkDevice.start(control, request.device(), target, loops, new Listener());
    this.device = device;
    return new ServedDevice(device, target, files.live(device, target));
  }

  /// Until the last step the device's I/O waits, and does so again when this process ends.
  private ServedDevice takeOver()
      throws CommandFailure, TargetOpenException, InheritedWritesException, IOException {
    log.info("taking over {}, which is {}", request.name(), request.source());
    int id = request.device().id();
    QueueLoops loops = new QueueLoops(request.device().queues(), request.device().depth());
    this.loops = loops;
    ControlDevice control = ControlDevice.open();
    this.control = control;
    if (request.task() == Task.UPGRADE) {
      // All that can be done before is done: from here on I/O waits.
      files.receive(id, untilOpen().dividedBy(2));
    }
    DeviceRecord.Recovery recovery = Objects.requireNonNull(files.claim(id).recovery());
    Instant handedOver = recovery.handedOver();
    DeviceRecovery waiting = awaitWaiting(control, recovery.mark());
    BoundedTarget target = openTargetOfTheOld(loops);
    this.target = target;
    try {
      UblkDevice device =
          waiting.resume(
              handedOver != null,
              recovery.identity(),
              target,
              request.device(),
              loops,
              new Listener());
      this.device = device;
      if (handedOver != null) {
        pause = Duration.between(handedOver, Instant.now());
        log.info("I/O has waited for {} ms", pause.toMillis());
      }
      return new ServedDevice(device, target, files.recovered(handedOver == null));
    } catch (InheritedWritesException e) {
      files.bar(String.valueOf(e.getMessage()));
      throw e;
    }
  }

  /// A device that is gone, or another by now, leaves files for which nobody else would care.
  private DeviceRecovery awaitWaiting(ControlDevice control, long mark) {
    try {
      return DeviceRecovery.await(control, request.device().id(), mark);
    } catch (UblkException e) {
      if (e.errno() == Errno.ENODEV) {
        files.remove();
      }
      throw e;
    }
  }

  /// What the old server had claimed is free a moment later, one file after the other.
  private BoundedTarget openTargetOfTheOld(QueueLoops loops) throws TargetOpenException {
    Deadline deadline = Deadline.after(CLAIMS_DEADLINE);
    while (true) {
      try {
        return openTarget(loops);
      } catch (TargetOpenException e) {
        if (e.reason() != TargetOpenException.Reason.BUSY || !deadline.pause()) {
          throw e;
        }
      }
    }
  }

  private BoundedTarget openTarget(QueueLoops loops) throws TargetOpenException {
    OpenContext context =
        new OpenContext(
            loops.loop(0), request.device().readOnly(), untilOpen(), request.targetOptions());
    return TargetStack.open(TargetRegistry.load(), TargetUri.parse(request.source()), context);
  }

  private Duration untilOpen() {
    Duration left = Duration.between(Instant.now(), request.openUntil());
    return left.isPositive() ? left : Duration.ofMillis(1);
  }

  /// The disk hangs as long as this process lives, unless the loop comes back.
  private static void stuck(UblkDevice device, StuckLoopException stuck) {
    if (device.recoverable()) {
      log.error("this server ends now, so that another takes its disk over", stuck);
      Runtime.getRuntime().halt(STATUS_QUEUE_FAILED);
    }
    log.error("requests wait; left so, since the disk would go with its server", stuck);
  }

  /// After a failed start: nothing but the log stays. A device that could not be taken over stays
  /// too, and what this process holds of it goes with the process.
  private void abandon() {
    if (request.task() != Task.ATTACH) {
      return;
    }
    UblkDevice device = this.device;
    if (device != null) {
      try {
        device.stop(STOP_DEADLINE);
      } catch (RuntimeException e) {
        log.error("{} did not stop cleanly", device.path(), e);
      }
    }
    release();
  }

  private void awaitStop() {
    try {
      stopAsked.await();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  /// The shutdown hook.
  private void end() {
    synchronized (givingUp) {
      stop();
    }
  }

  private void stop() {
    UblkDevice device = this.device;
    if (device == null) {
      // Ended while starting: whoever started this process knows the id and deletes the device.
      return;
    }
    ExitCode status = ExitCode.FAILURE;
    try {
      log.info("stopping {}", device.path());
      List<QueueCounters> queues = device.counters();
      long failedBefore = failedBeforeStop < 0 ? failed(queues) : failedBeforeStop;
      if (target != null) {
        target.stopping();
      }
      device.stop(STOP_DEADLINE);
      boolean lost = isRemoteLost(failed(queues) - failedBefore);
      release();
      if (!lost && !takenAway) {
        files.removeLog();
      }
      status = lost ? ExitCode.UNREACHABLE : ExitCode.DONE;
    } catch (RuntimeException e) {
      log.error("{} did not stop cleanly", device.path(), e);
    }
    // Not left to the exit: it would report the signal although the stop was clean.
    Runtime.getRuntime().halt(status.status());
  }

  private void handOver(ServedDevice served, Identity successor) throws CommandFailure {
    synchronized (givingUp) {
      UblkDevice device = served.device();
      Outage outage = served.target().outage().orElse(null);
      if (outage != null) {
        throw new CommandFailure(ExitCode.UNREACHABLE, outage.why(), null);
      }
      log.info("process {} is to go on with {}", successor.pid(), device.path());
      Instant waiting = device.hold(HOLD_PATIENCE);
      try {
        files.handTo(successor, waiting);
      } catch (CommandFailure | IOException | RuntimeException e) {
        device.release();
        throw new CommandFailure(ExitCode.FAILURE, String.valueOf(e.getMessage()), null, e);
      }
      letGo(served);
    }
  }

  /// Ends this process in order; nothing is under way, so it may also end at any moment.
  private static void letGo(ServedDevice served) {
    Runnable halt = () -> Runtime.getRuntime().halt(ExitCode.DONE.status());
    CompletableFuture.delayedExecutor(LET_GO_DEADLINE.toSeconds(), TimeUnit.SECONDS).execute(halt);
    try {
      served.device().letGo();
      served.target().close();
      log.info("let go of {}", served.device().path());
    } catch (RuntimeException e) {
      log.error("{} was not let go in order", served.device().path(), e);
    }
    halt.run();
  }

  private static long failed(List<QueueCounters> queues) {
    return queues.stream().mapToLong(QueueCounters::errors).sum();
  }

  /// Whether the disk was stopped without its remote, and something is lost by that.
  ///
  /// @param failed how many requests have failed since the stop began
  private boolean isRemoteLost(long failed) {
    Outage outage = target == null ? null : target.outage().orElse(null);
    if (outage == null || (failed == 0 && outage.unflushedWrites() == 0)) {
      return false;
    }
    log.error(
        "stopped while the remote was gone ({}): {} requests failed, {} completed writes were not"
            + " flushed",
        outage.why(),
        failed,
        outage.unflushedWrites());
    return true;
  }

  /// Gives back what is left once there is no device any more.
  private void release() {
    if (socket != null) {
      socket.close();
    }
    if (watch != null) {
      watch.close();
    }
    if (target != null) {
      target.close();
    }
    if (loops != null) {
      loops.close();
    }
    if (control != null) {
      control.close();
    }
    files.remove();
  }

  private final class Replies implements ControlSocket.Replies {
    private volatile ServedDevice served;

    Replies(ServedDevice served) {
      this.served = served;
    }

    @Override
    public Map<String, Object> status() {
      return served.status();
    }

    @Override
    public Map<String, Object> metrics() {
      return served.metrics();
    }

    @Override
    public void expectStop() {
      failedBeforeStop = failed(served.device().counters());
      served.target().stopping();
    }

    @Override
    public boolean stopUnlessOpen() {
      synchronized (givingUp) {
        boolean gone = served.device().stopUnlessOpen(STOP_DEADLINE);
        if (gone) {
          stopAsked.countDown();
        }
        return gone;
      }
    }

    @Override
    public Map<String, Object> resize(boolean force) throws CommandFailure {
      synchronized (givingUp) {
        ServedDevice before = served;
        DeviceRecord after = new DiskResize(before, files).resize(force);
        served = new ServedDevice(before.device(), before.target(), after);
        return Map.of("was", sizeOf(before.record()), "size", sizeOf(after));
      }
    }

    private static long sizeOf(DeviceRecord record) {
      return Objects.requireNonNull(record.disk()).sizeBytes();
    }

    @Override
    public void handOver(Identity successor) throws CommandFailure {
      Daemon.this.handOver(served, successor);
    }
  }

  private final class Listener implements DeviceListener {
    @Override
    public void added(int id) {
      reports.send(new ServerReport.Added(id));
      files.added(id);
    }

    @Override
    public void takenAway() {
      if (failedBeforeStop < 0) {
        log.warn("another program has taken the device away; this server ends");
        takenAway = true;
      }
      stopAsked.countDown();
    }

    @Override
    public Optional<SuccessionFile> successionFile(int id) {
      return Optional.of(files.successionFile());
    }

    @Override
    public void failed(Throwable reason) {
      log.error("a queue cannot go on; this server ends now", reason);
      Runtime.getRuntime().halt(STATUS_QUEUE_FAILED);
    }
  }
}
