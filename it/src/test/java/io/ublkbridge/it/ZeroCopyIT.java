package io.ublkbridge.it;

import static io.ublkbridge.it.ServedDisk.queues;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.kernel.UblkAbi;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Payload of a local file moves in place where the kernel can do that, and by copies where it
/// cannot, or where somebody in between needs to see it. Which of both is told by this process's
/// own count of `pread` and `pwrite` calls.
final class ZeroCopyIT {
  private static final int REQUESTS = 128;
  private static final int REQUEST_BYTES = 128 << 10;

  @TempDir Path dir;
  private Path image = Path.of("");
  private Path contents = Path.of("");

  @BeforeEach
  void makeFiles() {
    image = dir.resolve("disk.img");
    contents = dir.resolve("contents");
    Command.shell("truncate -s 16M " + image);
    Command.shell("head -c 16M /dev/urandom >" + contents);
  }

  @Test
  void longRequestsOfAFileMoveInPlaceWhereTheKernelCan() throws IOException {
    try (Disk disk = Disk.serve("file:" + image, queues(1))) {
      assertCopies(disk, !ServedDisk.kernelHas(UblkAbi.UBLK_F_AUTO_BUF_REG));
    }
  }

  @Test
  void aCacheInBetweenGetsCopies() throws IOException {
    try (Disk disk = ServedDisk.serve("file:" + image, Map.of("cache", "8M"), queues(1))) {
      assertCopies(disk, true);
    }
  }

  private void assertCopies(Disk disk, boolean copied) throws IOException {
    long before = calls("syscr");
    copy(contents, disk.path(), "oflag=direct");
    assertEquals(copied, calls("syscr") - before >= REQUESTS, "payload was loaded from the kernel");
    assertEquals(-1, Files.mismatch(contents, image), "the file has what was written");
    before = calls("syscw");
    copy(disk.path(), dir.resolve("back"), "iflag=direct");
    assertEquals(copied, calls("syscw") - before >= REQUESTS, "payload was stored to the kernel");
    assertEquals(-1, Files.mismatch(contents, dir.resolve("back")), "what was written is read");
  }

  private static void copy(Path from, Path to, String flags) {
    String output =
        Command.shell(
            "dd if=%s of=%s bs=%d %s conv=fsync,notrunc 2>&1"
                .formatted(from, to, REQUEST_BYTES, flags));
    assertTrue(output.contains(REQUESTS + "+0 records out"), output);
  }

  /// Of the queues' threads, `proc_pid_io(5)`; operations of io_uring are not among them. Other
  /// threads may end while they are listed.
  private static long calls(String name) {
    return Long.parseLong(
        Command.shell(
            ("for t in /proc/%d/task/*; do"
                    + " { grep -q ^ublk-queue $t/comm && sed -n 's/^%s: //p' $t/io; } 2>/dev/null || true;"
                    + " done | awk '{n += $1} END {print n + 0}'")
                .formatted(ProcessHandle.current().pid(), name)));
  }
}
