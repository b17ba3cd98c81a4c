package io.ublkbridge.cli;

import io.ublkbridge.device.DeviceOptions;
import io.ublkbridge.kernel.Deadline;
import io.ublkbridge.kernel.Posix;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/// A server process as the one who started it sees it. Any thread may call.
final class DaemonProcess {
  /// Set by `bin/ublk-bridge`: the directory that holds `bin` and `lib`.
  static final String HOME_PROPERTY = "ublkbridge.home";

  private final Process process;
  private final BlockingQueue<ServerReport> reports = new LinkedBlockingQueue<>();

  private DaemonProcess(Process process) {
    this.process = process;
  }

  /// Listens to a process that sends its reports to its standard output.
  static DaemonProcess of(Process process) {
    DaemonProcess daemon = new DaemonProcess(process);
    Thread.ofPlatform().daemon().name("reports").start(daemon::readReports);
    return daemon;
  }

  /// Starts a server in a session and a mount namespace of its own, and a small process beside it
  /// that has its device taken over if it dies.
  ///
  /// @param log takes all that both say; null lets the server speak through this process, which is
  ///   then its only watcher
  static DaemonProcess start(ServerRequest request, @Nullable Path log) throws IOException {
    String home = System.getProperty(HOME_PROPERTY);
    if (home == null) {
      throw new IOException("not started by bin/ublk-bridge: " + HOME_PROPERTY + " is not set");
    }
    ProcessBuilder builder = new ProcessBuilder(command(home, request, log != null));
    builder.environment().put("UBLK_BRIDGE_JAVA", System.getProperty("java.home"));
    int cpus = Runtime.getRuntime().availableProcessors();
    DeviceOptions device = request.device();
    ServerMemory memory =
        ServerMemory.of(
            request.source(), request.targetOptions(), (long) device.loops(cpus) * device.depth());
    builder.environment().put("UBLK_BRIDGE_HEAP_MIB", Long.toString(memory.heap()));
    builder.environment().put("UBLK_BRIDGE_DIRECT_MIB", Long.toString(memory.direct()));
    // Not where the command was given: that may be a disk to be unmounted.
    builder.directory(Path.of("/").toFile());
    builder.redirectInput(Path.of("/dev/null").toFile());
    builder.redirectError(
        log == null
            ? ProcessBuilder.Redirect.INHERIT
            : ProcessBuilder.Redirect.appendTo(log.toFile()));
    return of(startAsIoFlusher(builder));
  }

  private static List<String> command(String home, ServerRequest request, boolean watched) {
    List<String> command = new ArrayList<>(List.of("setsid"));
    if (watched) {
      // It stays in our mount namespace, where the next server finds all that this one did.
      command.add(home + "/lib/watch");
    }
    command.addAll(List.of("unshare", "--mount", "--propagation", "slave", "--"));
    command.addAll(List.of(home + "/bin/ublk-bridge", Main.SERVE, request.toJson()));
    return command;
  }

  /// Starts the process from a thread that is an I/O flusher, which every thread of the server then
  /// is from its first moment on, the collector's and the compiler's too. This process must not be
  /// one for longer than that.
  private static Process startAsIoFlusher(ProcessBuilder builder) throws IOException {
    CompletableFuture<Process> started = new CompletableFuture<>();
    Thread.ofPlatform()
        .daemon()
        .name("spawn")
        .start(() -> {
          try {
            Posix.setIoFlusher();
            started.complete(builder.start());
          } catch (IOException | RuntimeException | Error e) {
            started.completeExceptionally(e);
          }
        });
    try {
      return started.get();
    } catch (ExecutionException e) {
      throw new IOException("cannot start the server: " + Causes.message(e), e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted", e);
    }
  }

  private void readReports() {
    try (BufferedReader lines =
        new BufferedReader(
            new java.io.InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        reports.add(ServerReport.ofJson(line));
      }
    } catch (IOException broken) {
      // As good as its end.
    }
    reports.add(new ServerReport.Died());
  }

  /// The next report, or null if there is none before the deadline. A server that has sent its last
  /// report or ended has [ServerReport.Died].
  @Nullable ServerReport next(Deadline deadline) {
    try {
      return reports.poll(deadline.remaining().toMillis(), TimeUnit.MILLISECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return null;
    }
  }

  /// Asks the server to stop cleanly, as a signal does.
  void terminate() {
    process.destroy();
  }

  /// Ends the server at once, after the one that watches it; the kernel then takes the disk away,
  /// or lets it wait.
  void kill() {
    List<ProcessHandle> watched = process.descendants().toList();
    process.destroyForcibly();
    watched.forEach(ProcessHandle::destroyForcibly);
    try {
      process.waitFor(20, TimeUnit.SECONDS);
      for (ProcessHandle child : watched) {
        var _ = child.onExit().get(20, TimeUnit.SECONDS);
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } catch (ExecutionException | TimeoutException e) {
      // Whoever cleans up after it will see.
    }
  }

  /// Waits until the server has ended.
  ///
  /// @return its exit status
  int await() {
    return process.onExit().join().exitValue();
  }
}
