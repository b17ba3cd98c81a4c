package io.ublkbridge.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// What a program asks of the disk is what the server sees: FLUSH, FUA, TRIM, WRITE_ZEROES.
@Tag("linux-6.12")
final class DurabilityIT {
  @TempDir Path dir;

  private NbdServer logging(String... filtersAndSettings) throws IOException {
    Path image = dir.resolve("disk.img");
    Command.shell("truncate -s 64M " + image);
    List<String> arguments =
        new ArrayList<>(List.of("--filter=log", "file", image.toString(), "logfile=" + log()));
    arguments.addAll(0, List.of(filtersAndSettings));
    return NbdServer.nbdkit(arguments.toArray(String[]::new));
  }

  private Path log() {
    return dir.resolve("nbdkit.log");
  }

  /// How many lines of the server's log a regular expression finds.
  private long seen(String pattern) throws IOException {
    return Files.readString(log())
        .lines()
        .filter(line -> line.matches(".*" + pattern + ".*"))
        .count();
  }

  @Test
  void serverSeesFlushFuaDiscardAndZeroes() throws IOException {
    try (NbdServer server = logging();
        Disk disk = Disk.serve(server.uri())) {
      assertEquals("write back", disk.queue("write_cache"));
      assertEquals("1", disk.queue("fua"));
      long flushes = seen("Flush");
      Command.shell("dd if=/dev/zero of=" + disk.path() + " bs=4k count=1 oflag=direct conv=fsync");
      assertTrue(seen("Flush") > flushes, "fsync reaches the server as a FLUSH");
      assertEquals(0, seen("Write .*offset=0x8000 .*fua=1"));
      Command.shell(
          "dd if=/dev/zero of=" + disk.path() + " bs=4k count=1 seek=8 oflag=direct,dsync");
      assertEquals(1, seen("Write .*offset=0x8000 .*fua=1"), "an O_DSYNC write is a FUA write");
      Command.shell("blkdiscard -o 1M -l 1M " + disk.path());
      assertEquals(1, seen("Trim .*offset=0x100000 .*count=0x100000"));
      Command.shell("blkdiscard -z -o 2M -l 1M " + disk.path());
      assertEquals(1, seen("Zero .*offset=0x200000 .*count=0x100000.*trim=0"));
      Command.shell("fallocate -p -o 4M -l 1M " + disk.path());
      assertEquals(1, seen("Zero .*offset=0x400000 .*count=0x100000.*trim=1"));
    }
  }

  @Test
  void serverWithoutFuaGetsFlushesInstead() throws IOException {
    try (NbdServer server = logging("--filter=fua", "--filter=nocache");
        Disk disk = Disk.serve(server.uri())) {
      assertEquals("0", disk.queue("fua"));
      long flushes = seen("Flush");
      Command.shell("dd if=/dev/zero of=" + disk.path() + " bs=4k count=1 oflag=direct,dsync");
      assertTrue(seen("Flush") > flushes);
      assertEquals(0, seen("Write .*fua=1"));
    }
  }

  @Test
  void serverThatOffersNothingIsTakenAsWriteThrough() {
    try (NbdServer server =
            NbdServer.nbdkit(
                "eval",
                "get_size=echo 64M",
                "can_write=exit 0",
                "pread=dd if=/dev/zero count=$3 iflag=count_bytes,fullblock status=none",
                "pwrite=cat >/dev/null");
        Disk disk = Disk.serve(server.uri())) {
      assertEquals("write through", disk.queue("write_cache"));
      assertEquals("0", disk.queue("discard_max_bytes"), "it offers no TRIM either");
    }
  }

  @Test
  void zeroesAndHolesReadAsZeroes() {
    Path image = dir.resolve("disk.img");
    Command.shell("truncate -s 64M " + image);
    for (String uri : List.of("memory:64M", "file:" + image)) {
      try (Disk disk = Disk.serve(uri)) {
        Command.shell(
            "head -c 4M /dev/zero | tr '\\0' x | dd of=%1$s bs=1M iflag=fullblock oflag=direct; "
                    .formatted(disk.path())
                + "blkdiscard -z -o 1M -l 1M %1$s; fallocate -p -o 2M -l 1M %1$s; "
                    .formatted(disk.path())
                + "cmp -n 2M -i 1M:0 %1$s /dev/zero; ".formatted(disk.path())
                + "[ $(head -c 1M %1$s | tr -d x | wc -c) = 0 ]".formatted(disk.path()));
      }
    }
  }
}
