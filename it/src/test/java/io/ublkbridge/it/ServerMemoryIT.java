package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/// What a server holds in memory while it is busy with everything at once: an S3 image behind cache
/// and disk tier, under an overlay.
///
/// `-Dsoak.seconds=N` keeps it busy for longer.
@Tag("long")
final class ServerMemoryIT {
  private static final int SECONDS = Integer.getInteger("soak.seconds", 7);
  private static final int HEAP_MIB = 64;
  private static final int CACHE_MIB = 128;

  /// For code, stacks, the JVM's own and what is on its way.
  private static final int MORE_MIB = 96;

  @Test
  void staysWithinItsBound() throws Exception {
    Path dir = Files.createTempDirectory(Path.of("/var/tmp"), "memory");
    Path image = dir.resolve("disk.img");
    Command.shell("head -c 768M /dev/urandom > " + image);
    try (ImageStore store = ImageStore.with("disk.img", image);
        Disk disk =
            store.attach(
                store.url(),
                "disk.img",
                "--name",
                "memory",
                "--cache",
                CACHE_MIB + "M",
                "--cache-dir",
                dir.resolve("cache").toString(),
                "--cache-disk",
                "256M",
                "--overlay",
                dir.resolve("overlay").toString())) {
      Path process = Path.of("/proc", Command.json("pid", "status", "memory", "--json"));
      Process fio = load(disk, dir);
      Sample most = new Sample(0, 0, 0);
      Duration step = Duration.ofSeconds(Math.max(1, SECONDS / 20));
      for (long next = 0, second = 0; !fio.waitFor(1, TimeUnit.SECONDS); second++) {
        Sample now = Sample.of(process);
        most = now.rssKib() > most.rssKib() ? now : most;
        if (second >= next) {
          System.out.printf("s3-memory: %4d s: %s%n", second, now);
          next += step.toSeconds();
        }
      }
      System.out.println(Command.ublkBridge("status", "memory").output());
      Command.shell("cat %s/fio.out >&2; exit %d".formatted(dir, fio.exitValue()));
      long bound = HEAP_MIB + CACHE_MIB + MORE_MIB;
      System.out.printf("s3-memory: at most %s, of %d MiB%n", most, bound);
      assertTrue(most.rssKib() <= bound << 10, "beyond " + bound + " MiB: " + most);
    } finally {
      Command.shell("rm -rf " + dir);
    }
  }

  private static Process load(Disk disk, Path dir) throws IOException {
    String half = Long.toString(disk.sizeBytes() / 2);
    return new ProcessBuilder(
            "fio",
            "--filename=" + disk.path(),
            "--ioengine=libaio",
            "--direct=1",
            "--time_based",
            "--runtime=" + SECONDS,
            "--output=" + dir.resolve("fio.out"),
            "--name=random",
            "--rw=randrw",
            "--rwmixread=70",
            "--bsrange=4k-64k",
            "--iodepth=32",
            "--fsync=64",
            "--name=ahead",
            "--rw=read",
            "--bs=1m",
            "--iodepth=8",
            "--name=behind",
            "--rw=write",
            "--bs=256k",
            "--iodepth=8",
            "--offset=" + half)
        .redirectErrorStream(true)
        .redirectOutput(dir.resolve("fio.log").toFile())
        .start();
  }

  /// A process's resident memory: all of it, and the parts that no file backs and that one does.
  private record Sample(long rssKib, long anonymousKib, long fileKib) {
    static Sample of(Path process) throws IOException {
      String status = Files.readString(process.resolve("status"));
      return new Sample(field(status, "VmRSS"), field(status, "RssAnon"), field(status, "RssFile"));
    }

    private static long field(String status, String name) {
      return status
          .lines()
          .filter(line -> line.startsWith(name + ":"))
          .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")))
          .findFirst()
          .orElseThrow();
    }

    @Override
    public String toString() {
      return "%d MiB resident, %d of it anonymous and %d of files"
          .formatted(rssKib >> 10, anonymousKib >> 10, fileKib >> 10);
    }
  }
}
