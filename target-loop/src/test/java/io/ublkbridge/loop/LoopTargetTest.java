package io.ublkbridge.loop;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.netty.channel.IoEventLoop;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.RecordedRequest;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetQueue;
import io.ublkbridge.target.UringLoops;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LoopTargetTest {
  private static final int MIB = 1 << 20;
  private static final int SIZE = 8 * MIB;

  @AutoClose private final UringLoops loops = new UringLoops(2);
  private final IoEventLoop loop = loops.next();

  private final Path directory;
  private final Path image;

  LoopTargetTest(@TempDir Path directory) {
    this.directory = directory;
    this.image = directory.resolve("disk.img");
  }

  @BeforeEach
  void createImage() throws IOException {
    resize(image, SIZE);
  }

  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3, 20261123})
  void holdsWhatAModelHolds(long seed) throws Exception {
    try (LoopTarget target = open(false);
        TargetQueue queue = target.openQueue(context(8))) {
      DiskModel model = new DiskModel(loop, queue, 0, SIZE, new SplittableRandom(seed));

      model.run(60, 2 * MIB);
      model.check();
    }
  }

  @Test
  void severalQueuesShareOneFile() throws Exception {
    IoEventLoop other = loops.next();
    try (LoopTarget target = open(false);
        TargetQueue first = target.openQueue(context(8));
        TargetQueue second = target.openQueue(new QueueContext(1, 2, 8, MIB, other))) {
      byte[] payload = bytes(4096, 3);
      RecordedRequest write = RecordedRequest.write(8192, payload, false);
      UringLoops.submit(loop, first, write);
      assertNull(write.await());

      RecordedRequest read = RecordedRequest.read(8192, 4096);
      UringLoops.submit(other, second, read);
      assertNull(read.await());
      assertArrayEquals(payload, read.payload());
    }
  }

  @Test
  void bytesAreInTheFileWhereTheyBelong() throws Exception {
    try (LoopTarget target = open(false);
        TargetQueue queue = target.openQueue(context(8))) {
      succeed(queue, RecordedRequest.write(512, bytes(1024, 6), true));
    }

    byte[] content = Files.readAllBytes(image);
    assertEquals(SIZE, content.length);
    assertArrayEquals(bytes(1024, 6), Arrays.copyOfRange(content, 512, 1536));
    assertEquals(0, content[511]);
    assertEquals(0, content[1536]);
  }

  @Test
  void discardGivesRoomBackAndMandatoryZeroesKeepIt() throws Exception {
    try (LoopTarget target = open(false);
        TargetQueue queue = target.openQueue(context(8))) {
      assumeTrue(target.capabilities().discard(), "the file system cannot punch holes");
      for (int at = 0; at < SIZE; at += MIB) {
        succeed(queue, RecordedRequest.write(at, bytes(MIB, 1), false));
      }
      succeed(queue, RecordedRequest.flush());
      long full = allocated(target);
      assertTrue(full >= SIZE, () -> "allocated " + full);

      succeed(queue, RecordedRequest.discard(0, 2 * MIB));
      assertEquals(full - 2 * MIB, allocated(target));
      succeed(queue, RecordedRequest.writeZeroes(2 * MIB, 2 * MIB, false, true));
      assertEquals(full - 4 * MIB, allocated(target));
      succeed(queue, RecordedRequest.writeZeroes(4 * MIB, 2 * MIB, true, false));
      assertEquals(full - 4 * MIB, allocated(target));

      byte[] content = Files.readAllBytes(image);
      assertArrayEquals(new byte[6 * MIB], Arrays.copyOf(content, 6 * MIB));
      assertEquals(1, content[6 * MIB]);
    }
  }

  @Test
  void aFileThatShrankIsAnErrorNotZeroes() throws Exception {
    try (LoopTarget target = open(false);
        TargetQueue queue = target.openQueue(context(8))) {
      resize(image, MIB + 512);
      RecordedRequest inside = RecordedRequest.read(MIB, 512);
      RecordedRequest across = RecordedRequest.read(MIB, 4096);
      RecordedRequest behind = RecordedRequest.read(2 * MIB, 4096);

      UringLoops.submit(loop, queue, inside, across, behind);

      assertNull(inside.await());
      assertEquals(IoError.IO, across.await());
      assertEquals(IoError.IO, behind.await());
      assertTrue(String.valueOf(across.cause()).contains("shorter"), () -> "" + across.cause());
    }
  }

  @Test
  void aFileThatHasGrownIsUsedToItsNewEndOnceThatIsSaid() throws Exception {
    try (LoopTarget target = open(false);
        TargetQueue queue = target.openQueue(context(8))) {
      long was = target.geometry().sizeBytes();
      resize(image, was + MIB + 100);
      assertEquals(was + MIB, target.presentSize(Duration.ofSeconds(10)), "whole blocks");
      assertEquals(was, target.geometry().sizeBytes());
      RecordedRequest early = RecordedRequest.write(was, new byte[4096], false);
      UringLoops.submit(loop, queue, early);
      assertEquals(IoError.IO, early.await());

      target.resize(was + MIB);

      assertEquals(was + MIB, target.geometry().sizeBytes());
      RecordedRequest behind = RecordedRequest.write(was, new byte[4096], false);
      UringLoops.submit(loop, queue, behind);
      assertNull(behind.await());
    }
  }

  @Test
  void theTailBehindTheLastBlockIsOutOfReach() throws Exception {
    resize(image, 1024 + 100);
    try (LoopTarget target = open(false)) {
      assertEquals(1024, target.geometry().sizeBytes());
    }
  }

  @Test
  void aReadOnlyDiskIsNotWrittenTo() throws Exception {
    try (LoopTarget target = open(true);
        TargetQueue queue = target.openQueue(context(8))) {
      assertTrue(target.capabilities().readOnly());
      RecordedRequest write = RecordedRequest.write(0, bytes(512, 1), false);
      RecordedRequest discard = RecordedRequest.discard(0, 512);

      UringLoops.submit(loop, queue, write, discard);

      assertEquals(IoError.UNSUPPORTED, write.await());
      assertEquals(IoError.UNSUPPORTED, discard.await());
      succeed(queue, RecordedRequest.read(0, 4096));
      succeed(queue, RecordedRequest.flush());
    }
  }

  @Test
  void refusesWhatItCannotServe() throws Exception {
    try (LoopTarget target = open(false);
        TargetQueue queue = target.openQueue(context(1))) {
      RecordedRequest outside = RecordedRequest.read(SIZE - 512, 1024);
      RecordedRequest tooLong = RecordedRequest.read(0, 5 * MIB);
      RecordedRequest first = RecordedRequest.read(0, 512);
      RecordedRequest tooMany = RecordedRequest.read(0, 512);
      RecordedRequest nothing = RecordedRequest.discard(0, 0);

      UringLoops.submit(loop, queue, outside, tooLong, first, tooMany, nothing);

      assertEquals(IoError.IO, outside.await());
      assertEquals(IoError.IO, tooLong.await());
      assertNull(first.await());
      assertEquals(IoError.IO, tooMany.await());
      assertNull(nothing.await());
      succeed(queue, RecordedRequest.read(0, 512));
    }
  }

  @Test
  void aFullFileSystemIsNoSpace() throws Exception {
    assumeTrue("root".equals(System.getProperty("user.name")), "mounting a tmpfs needs root");
    Path mount = Files.createDirectory(directory.resolve("small"));
    assumeTrue(
        run("mount", "-t", "tmpfs", "-o", "size=1m", "none", mount.toString()) == 0,
        "no tmpfs can be mounted here");
    try {
      Path full = mount.resolve("disk.img");
      resize(full, SIZE);
      try (LoopTarget target = LoopTarget.open(full, openContext(false));
          TargetQueue queue = target.openQueue(context(8))) {
        RecordedRequest write = RecordedRequest.write(0, bytes(2 * MIB, 1), false);
        UringLoops.submit(loop, queue, write);
        assertEquals(IoError.NO_SPACE, write.await());

        succeed(queue, RecordedRequest.discard(0, SIZE));
        succeed(queue, RecordedRequest.write(0, bytes(4096, 1), true));
        // tmpfs knows no ZERO_RANGE: pages of zeroes are written.
        succeed(queue, RecordedRequest.writeZeroes(0, 512 << 10, true, false));
        RecordedRequest zeroes = RecordedRequest.writeZeroes(0, 2 * MIB, false, false);
        UringLoops.submit(loop, queue, zeroes);
        assertEquals(IoError.NO_SPACE, zeroes.await());
      }
    } finally {
      assertEquals(0, run("umount", mount.toString()));
    }
  }

  @Test
  void servesABlockDevice() throws Exception {
    assumeTrue(
        "root".equals(System.getProperty("user.name")), "setting up a loop device needs root");
    Process losetup = new ProcessBuilder("losetup", "--find", "--show", image.toString()).start();
    String device = new String(losetup.getInputStream().readAllBytes(), US_ASCII).strip();
    assumeTrue(losetup.waitFor() == 0, "no loop device can be set up here");
    try (LoopTarget target = LoopTarget.open(Path.of(device), openContext(false));
        TargetQueue queue = target.openQueue(context(8))) {
      assertEquals(SIZE, target.geometry().sizeBytes());
      assertEquals("block device", target.details().get("kind"));
      DiskModel model = new DiskModel(loop, queue, 0, SIZE, new SplittableRandom(5));

      model.run(20, 2 * MIB);
      model.check();
    } finally {
      assertEquals(0, run("losetup", "--detach", device));
    }
  }

  @Test
  void closingFreesDescriptorsAndTheClaim() throws Exception {
    open(false).close();
    long before = descriptors();
    for (int i = 0; i < 3; i++) {
      try (LoopTarget target = open(false);
          TargetQueue queue = target.openQueue(context(8))) {
        succeed(queue, RecordedRequest.read(0, 4096));
      }
    }
    assertEquals(before, descriptors());
  }

  @Test
  void aQueueOutlivesItsLoop() throws Exception {
    UringLoops mortal = new UringLoops(1);
    IoEventLoop last = mortal.next();
    LoopTarget target = open(false);
    TargetQueue queue = target.openQueue(new QueueContext(0, 1, 8, MIB, last));
    RecordedRequest read = RecordedRequest.read(0, 4096);
    UringLoops.submit(last, queue, read);
    assertNull(read.await());

    mortal.close();
    queue.close();
    target.close();

    assertEquals(0, descriptorsOfImage());
  }

  private LoopTarget open(boolean readOnly) throws TargetOpenException {
    return LoopTarget.open(image, openContext(readOnly));
  }

  private OpenContext openContext(boolean readOnly) {
    return new OpenContext(loop, readOnly, Duration.ofSeconds(10), Map.of());
  }

  private QueueContext context(int depth) {
    return new QueueContext(0, 1, depth, MIB, loop);
  }

  private void succeed(TargetQueue queue, RecordedRequest request) {
    UringLoops.submit(loop, queue, request);
    assertNull(request.await(), () -> request + ": " + request.cause());
  }

  private static long allocated(BlockTarget target) {
    return (Long) target.details().getOrDefault("allocatedBytes", -1L);
  }

  private static long descriptors() throws IOException {
    try (var list = Files.list(Path.of("/proc/self/fd"))) {
      return list.count();
    }
  }

  private long descriptorsOfImage() throws IOException {
    try (var list = Files.list(Path.of("/proc/self/fd"))) {
      return list.filter(this::leadsToImage).count();
    }
  }

  private boolean leadsToImage(Path descriptor) {
    try {
      return Files.readSymbolicLink(descriptor).equals(image);
    } catch (IOException e) {
      // The one that lists the directory is gone already.
      return false;
    }
  }

  private static void resize(Path file, long sizeBytes) throws IOException {
    try (RandomAccessFile access = new RandomAccessFile(file.toFile(), "rw")) {
      access.setLength(sizeBytes);
    }
  }

  private static int run(String... command) throws Exception {
    Process process = new ProcessBuilder(command).inheritIO().start();
    assertTrue(process.waitFor(10, TimeUnit.SECONDS));
    return process.exitValue();
  }

  private static byte[] bytes(int length, int value) {
    byte[] bytes = new byte[length];
    Arrays.fill(bytes, (byte) value);
    return bytes;
  }
}
