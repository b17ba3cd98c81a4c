package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.device.UblkDevice;
import io.ublkbridge.it.NbdServer.Kind;
import io.ublkbridge.kernel.ControlDevice;
import io.ublkbridge.kernel.UblkException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/// Disks at depth 256 that end under load in every way and order that there is: nothing hangs, and
/// nothing is left. As the `stress` tests among the kernel's ublk selftests.
///
/// `-Dsoak.rounds=N` makes and ends N disks.
@ExtendWith(NothingLeftBehind.class)
final class LifecycleStressIT {
  private static final int ROUNDS = Integer.getInteger("soak.rounds", 1);
  private static final Duration END_DEADLINE = Duration.ofSeconds(20);
  private static final String NAME = "stressed";

  @TempDir Path dir;

  /// What happens to a disk in use, one thing after the other or at once.
  private enum End {
    KILLED_WHILE_DETACHED {
      @Override
      void of(Path disk, String pid) {
        CompletableFuture<Void> killed = CompletableFuture.runAsync(() -> kill(pid));
        detach();
        killed.join();
      }
    },
    DETACHED {
      @Override
      void of(Path disk, String pid) {
        detach();
      }
    },
    KILLED {
      @Override
      void of(Path disk, String pid) {
        kill(pid);
      }
    },
    KILLED_WITH_ITS_WATCHER {
      @Override
      void of(Path disk, String pid) {
        Command.shell("kill -9 $(ps -o ppid= -p %1$s); kill -9 %1$s".formatted(pid));
      }
    },
    DELETED {
      @Override
      void of(Path disk, String pid) {
        delete(disk);
      }
    },
    KILLED_WHILE_DELETED {
      @Override
      void of(Path disk, String pid) {
        CompletableFuture<Void> killed = CompletableFuture.runAsync(() -> kill(pid));
        delete(disk);
        killed.join();
      }
    },
    DELETED_WHILE_DETACHED {
      @Override
      void of(Path disk, String pid) {
        CompletableFuture<Void> deleted = CompletableFuture.runAsync(() -> delete(disk));
        detach();
        deleted.join();
      }
    };

    abstract void of(Path disk, String pid);

    private static void kill(String pid) {
      // It may have ended by itself meanwhile.
      Command.shellCommand("kill -9 " + pid);
    }

    /// As another program may, behind our back.
    private static void delete(Path disk) {
      int id = Integer.parseInt(disk.getFileName().toString().substring("ublkb".length()));
      try (ControlDevice control = ControlDevice.open()) {
        UblkDevice.forceDelete(control, id, END_DEADLINE);
      } catch (UblkException e) {
        // Somebody else was faster.
      }
    }
  }

  private static Command detach() {
    return Command.ublkBridge("detach", "--force", NAME);
  }

  @Test
  void whateverEndsADiskNothingHangsAndNothingIsLeft() throws Exception {
    Command.shell("dmesg --clear; echo 30 >/proc/sys/kernel/hung_task_timeout_secs");
    Path image = dir.resolve("disk.img");
    Command.shell("truncate -s 64M " + image);
    Duration longest = Duration.ZERO;
    try (NbdServer server = NbdServer.serve(Kind.NBDKIT, image)) {
      List<String> uris =
          List.of("file:" + dir.resolve("other.img"), "memory:64M", "null:64M", server.uri());
      Command.shell("truncate -s 64M " + dir.resolve("other.img"));
      for (int round = 0; round < ROUNDS; round++) {
        End end = End.values()[round / uris.size() % End.values().length];
        Duration took = endUnderLoad(uris.get(round % uris.size()), end);
        longest = took.compareTo(longest) > 0 ? took : longest;
      }
    }
    System.out.printf("%d disks ended, the longest took %d ms%n", ROUNDS, longest.toMillis());
    assertEquals(
        "", Command.shell("dmesg | grep -iE 'hung|blocked for|oops|BUG:|WARNING:|leak' || true"));
  }

  private Duration endUnderLoad(String uri, End end) throws Exception {
    HostState before = HostState.now();
    Path disk = Disk.attach(uri, "--name", NAME, "--depth", "256", "--queues", "2").path();
    Process load = RandomLoad.start(disk, 256, dir.resolve("fio.log"));
    String pid = Command.json("pid", "status", NAME, "--json");
    Instant start = Instant.now();
    end.of(disk, pid);
    // Whatever is left of it; it may be on its way to another server.
    while (HostState.now().hasDisks() && spent(start).compareTo(END_DEADLINE) < 0) {
      detach();
    }
    Duration took = spent(start);
    assertTrue(
        took.compareTo(END_DEADLINE) < 0,
        () -> "%s, %s: not gone after %s".formatted(uri, end, took));
    assertTrue(load.waitFor(END_DEADLINE.toSeconds(), TimeUnit.SECONDS), "no request hangs");
    Command.shell("rm -f /var/log/ublk-bridge/*.log");
    before.awaitAgain();
    return took;
  }

  private static Duration spent(Instant start) {
    return Duration.between(start, Instant.now());
  }
}
