package io.ublkbridge.overlay;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.netty.channel.IoEventLoop;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.RecordedRequest;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetQueue;
import io.ublkbridge.target.UringLoops;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// An overlay on a real file and a real ring.
class OverlayTargetTest {
  private static final int KIB = 1024;
  private static final int SIZE = 2 * KIB * KIB + 1536;

  @AutoClose private final UringLoops loops = new UringLoops(1);
  private final IoEventLoop loop = loops.next();
  private final byte[] baseBytes = new byte[SIZE];
  private final Path directory;
  private final Path path;

  OverlayTargetTest(@TempDir Path directory) {
    this.directory = directory;
    this.path = directory.resolve("disk.overlay");
    new SplittableRandom(7).nextBytes(baseBytes);
    for (int i = 0; i < SIZE; i++) {
      baseBytes[i] = baseBytes[i] == MemoryBase.BAD ? 1 : baseBytes[i];
    }
  }

  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3})
  void holdsWhatAModelHoldsAcrossAttachments(long seed) throws Exception {
    SplittableRandom random = new SplittableRandom(seed);
    byte[] expected = baseBytes.clone();
    byte[] untouched = baseBytes.clone();
    for (int attachment = 0; attachment < 4; attachment++) {
      try (OverlayTarget target = open();
          TargetQueue queue = target.openQueue(context())) {
        assertContents(queue, expected);
        for (int i = 0; i < 40; i++) {
          batch(queue, expected, random);
        }
        assertContents(queue, expected);
      }
      assertTrue(summary().clean());
      assertFalse(summary().inUse());
    }
    assertArrayEquals(untouched, baseBytes);
  }

  /// Requests side by side, in sectors of blocks that they share.
  private void batch(TargetQueue queue, byte[] expected, SplittableRandom random) {
    List<RecordedRequest> requests = new ArrayList<>();
    List<byte[]> answers = new ArrayList<>();
    int at = random.nextInt(SIZE / 512 - 8 * 40) * 512;
    for (int i = 0; i < 8; i++) {
      int length = 512 * random.nextInt(1, 33);
      answers.add(Arrays.copyOfRange(expected, at, at + length));
      switch (random.nextInt(6)) {
        case 0 -> requests.add(RecordedRequest.read(at, length));
        case 1 -> {
          requests.add(RecordedRequest.discard(at, length));
          Arrays.fill(expected, at, at + length, (byte) 0);
        }
        case 2 -> {
          requests.add(RecordedRequest.writeZeroes(at, length, false, random.nextBoolean()));
          Arrays.fill(expected, at, at + length, (byte) 0);
        }
        case 3 -> requests.add(RecordedRequest.flush());
        default -> {
          byte[] payload = new byte[length];
          random.nextBytes(payload);
          requests.add(RecordedRequest.write(at, payload, random.nextInt(4) == 0));
          System.arraycopy(payload, 0, expected, at, length);
        }
      }
      at += length;
    }
    UringLoops.submit(loop, queue, requests.toArray(RecordedRequest[]::new));
    for (int i = 0; i < requests.size(); i++) {
      RecordedRequest request = requests.get(i);
      assertNull(request.await(), () -> request + ": " + request.cause());
      if (request.toString().startsWith("READ")) {
        assertArrayEquals(answers.get(i), request.payload(), request::toString);
      }
    }
  }

  @Test
  void roomIsGivenBackForWhatIsDiscarded() throws Exception {
    try (OverlayTarget target = open();
        TargetQueue queue = target.openQueue(context())) {
      succeed(queue, RecordedRequest.write(0, new byte[512 * KIB], true));
      long full = allocated(target);
      succeed(queue, RecordedRequest.discard(0, 256 * KIB));
      assertTrue(allocated(target) <= full - 256 * KIB, "the hole takes no room");
      assertEquals(256L * KIB, overlay(target).get("dataBytes"));
      assertEquals(256L * KIB, overlay(target).get("zeroBytes"));
    }
    assertEquals(256L * KIB, summary().zeroBytes());
  }

  @Test
  void aFailureOfTheBaseFailsWhatNeedsIt() throws Exception {
    baseBytes[8192] = MemoryBase.BAD;
    try (OverlayTarget target = open();
        TargetQueue queue = target.openQueue(context())) {
      succeed(queue, RecordedRequest.write(4096, bytes(4096), false));
      RecordedRequest across = RecordedRequest.read(4096, 8192);
      RecordedRequest partial = RecordedRequest.write(8192 + 512, bytes(512), false);
      UringLoops.submit(loop, queue, across, partial);
      assertEquals(IoError.UNREACHABLE, across.await());
      assertEquals(IoError.UNREACHABLE, partial.await());
      RecordedRequest own = RecordedRequest.read(4096, 4096);
      succeed(queue, own);
      assertArrayEquals(bytes(4096), own.payload());
      succeed(queue, RecordedRequest.write(8192, bytes(4096), false));
      succeed(queue, RecordedRequest.read(4096, 8192));
    }
  }

  @Test
  void aReadOnlyViewShowsTheChangesAndMakesNone() throws Exception {
    refused(TargetOpenException.Reason.FAILED, base("b1"), true);
    assertFalse(Files.exists(path));
    try (OverlayTarget target = open();
        TargetQueue queue = target.openQueue(context())) {
      succeed(queue, RecordedRequest.write(4096, bytes(4096), false));
    }
    byte[] file = Files.readAllBytes(path);
    try (OverlayTarget target = OverlayTarget.open(base("b1"), "uri", path, openContext(true));
        OverlayTarget other = OverlayTargetTest.this.another(true);
        TargetQueue queue = target.openQueue(context())) {
      assertTrue(target.capabilities().readOnly());
      assertTrue(other.capabilities().readOnly());
      RecordedRequest read = RecordedRequest.read(4096, 4096);
      succeed(queue, read);
      assertArrayEquals(bytes(4096), read.payload());
      succeed(queue, RecordedRequest.flush());
      RecordedRequest write = RecordedRequest.write(0, bytes(512), false);
      UringLoops.submit(loop, queue, write);
      assertEquals(IoError.UNSUPPORTED, write.await());
    }
    assertArrayEquals(file, Files.readAllBytes(path));
  }

  /// Readers of one file may be several, but not in one process: the lock is the process's.
  private OverlayTarget another(boolean readOnly) throws Exception {
    Path copy = directory.resolve("copy");
    Files.copy(path, copy);
    return OverlayTarget.open(base("b1"), "uri", copy, openContext(readOnly));
  }

  @Test
  void belongsToOneBase() throws Exception {
    open().close();
    byte[] file = Files.readAllBytes(path);

    String other = refused(TargetOpenException.Reason.UNSUPPORTED, base("b2"), false);
    assertTrue(other.contains("was made for b1, this is b2"), other);
    byte[] longer = Arrays.copyOf(baseBytes, SIZE + 512);
    String size =
        refused(TargetOpenException.Reason.UNSUPPORTED, new MemoryBase(longer, "b1"), false);
    assertTrue(size.contains("was made for a disk of"), size);
    String noIdentity = refused(TargetOpenException.Reason.UNSUPPORTED, base(""), false);
    assertTrue(noIdentity.contains("this is uri"), noIdentity);

    assertArrayEquals(file, Files.readAllBytes(path));
    open().close();
  }

  @Test
  void isUsedByOneAttachment() throws Exception {
    try (OverlayTarget target = open()) {
      assertFalse(target.capabilities().readOnly());
      String message = refused(TargetOpenException.Reason.BUSY, base("b1"), false);
      assertTrue(message.contains("in use"), message);
    }
    open().close();
  }

  @Test
  void neverTakesAFileForAnOverlayThatIsNone() throws Exception {
    for (byte[] content : List.of(new byte[0], bytes(100), bytes(8192), new byte[8192])) {
      Files.write(path, content);
      String message = refused(TargetOpenException.Reason.UNSUPPORTED, base("b1"), false);
      assertTrue(message.contains("not an overlay"), message);
      assertArrayEquals(content, Files.readAllBytes(path));
    }
    Files.delete(path);
    Files.createDirectory(path);
    refused(TargetOpenException.Reason.FAILED, base("b1"), false);
  }

  @ParameterizedTest
  @ValueSource(ints = {20, 60, 8192 + 257 * 4096 + 100})
  void refusesADamagedFile(int damagedByte) throws Exception {
    try (OverlayTarget target = open();
        TargetQueue queue = target.openQueue(context())) {
      succeed(queue, RecordedRequest.write(0, bytes(4096), true));
      // Another record takes the place of the one that could mend the page.
      succeed(queue, RecordedRequest.discard(8192, 4096));
    }
    byte[] file = Files.readAllBytes(path);
    Arrays.fill(file, 8192, 8192 + 4096, (byte) 0);
    file[damagedByte] ^= 1;
    Files.write(path, file);

    String message = refused(TargetOpenException.Reason.UNSUPPORTED, base("b1"), false);

    assertTrue(message.contains("corrupt"), message);
    assertArrayEquals(file, Files.readAllBytes(path));
  }

  @Test
  void refusesAFileThatWasCutOff() throws Exception {
    open().close();
    byte[] file = Files.readAllBytes(path);
    Files.write(path, Arrays.copyOf(file, file.length - 4096));

    String message = refused(TargetOpenException.Reason.UNSUPPORTED, base("b1"), false);

    assertTrue(message.contains("cut off"), message);
  }

  @Test
  void whatAnInterruptedCreationLeavesIsNoObstacle() throws Exception {
    Files.write(directory.resolve(".disk.overlay.new"), bytes(8192));
    open().close();
    try (var files = Files.list(directory)) {
      assertEquals(List.of(path), files.toList());
    }
  }

  @Test
  void aFullFileSystemFailsTheWriteAlone() throws Exception {
    assumeTrue("root".equals(System.getProperty("user.name")), "mounting a tmpfs needs root");
    Path mount = Files.createDirectory(directory.resolve("small"));
    assumeTrue(
        run("mount", "-t", "tmpfs", "-o", "size=2m", "none", mount.toString()) == 0,
        "no tmpfs can be mounted here");
    Path full = mount.resolve("disk.overlay");
    try {
      try (OverlayTarget target = OverlayTarget.open(base("b1"), "uri", full, openContext(false));
          TargetQueue queue = target.openQueue(context())) {
        succeed(queue, RecordedRequest.write(0, bytes(4096), false));
        RecordedRequest write = RecordedRequest.write(8192, new byte[1024 * KIB], false);
        UringLoops.submit(loop, queue, write);
        assertEquals(IoError.NO_SPACE, write.await());
        succeed(queue, RecordedRequest.flush());
        RecordedRequest read = RecordedRequest.read(0, 8192 + 4096);
        succeed(queue, read);
        byte[] expected = Arrays.copyOf(baseBytes, 8192 + 4096);
        System.arraycopy(bytes(4096), 0, expected, 0, 4096);
        assertArrayEquals(expected, read.payload());
      }
      try (OverlayTarget target = OverlayTarget.open(base("b1"), "uri", full, openContext(false));
          TargetQueue queue = target.openQueue(context())) {
        RecordedRequest read = RecordedRequest.read(0, 4096);
        succeed(queue, read);
        assertArrayEquals(bytes(4096), read.payload());
      }
    } finally {
      assertEquals(0, run("umount", mount.toString()));
    }
  }

  @Test
  void aQueueThatOutlivesItsLoopLosesOnlyWhatWasNotFlushed() throws Exception {
    UringLoops mortal = new UringLoops(1);
    IoEventLoop last = mortal.next();
    OverlayTarget target = open();
    TargetQueue queue = target.openQueue(new QueueContext(0, 1, 8, KIB * KIB, last));
    RecordedRequest write = RecordedRequest.write(0, bytes(4096), true);
    UringLoops.submit(last, queue, write);
    assertNull(write.await());
    mortal.close();
    queue.close();
    target.close();

    assertFalse(summary().clean());
    assertEquals(4096, summary().dataBytes());
    open().close();
  }

  @Test
  void closingFreesDescriptors() throws Exception {
    open().close();
    long before = descriptors();
    for (int i = 0; i < 3; i++) {
      try (OverlayTarget target = open();
          TargetQueue queue = target.openQueue(context())) {
        succeed(queue, RecordedRequest.write(0, bytes(512), false));
      }
    }
    assertEquals(before, descriptors());
  }

  private MemoryBase base(String identity) {
    return new MemoryBase(baseBytes, identity);
  }

  private OverlayTarget open() throws TargetOpenException {
    return OverlayTarget.open(base("b1"), "uri", path, openContext(false));
  }

  private String refused(TargetOpenException.Reason reason, MemoryBase base, boolean readOnly) {
    try {
      OverlayTarget.open(base, "uri", path, openContext(readOnly)).close();
    } catch (TargetOpenException e) {
      assertEquals(reason, e.reason(), e::toString);
      return String.valueOf(e.getMessage());
    }
    throw new AssertionError("it was not refused");
  }

  private OpenContext openContext(boolean readOnly) {
    return new OpenContext(loop, readOnly, Duration.ofSeconds(10), Map.of());
  }

  private QueueContext context() {
    return new QueueContext(0, 1, 8, KIB * KIB, loop);
  }

  private OverlaySummary summary() throws TargetOpenException {
    return OverlaySummary.read(path, loop);
  }

  private void succeed(TargetQueue queue, RecordedRequest request) {
    UringLoops.submit(loop, queue, request);
    assertNull(request.await(), () -> request + ": " + request.cause());
  }

  private void assertContents(TargetQueue queue, byte[] expected) {
    for (int at = 0; at < SIZE; at += 512 * KIB) {
      int length = Math.min(512 * KIB, SIZE - at);
      RecordedRequest read = RecordedRequest.read(at, length);
      succeed(queue, read);
      assertArrayEquals(Arrays.copyOfRange(expected, at, at + length), read.payload());
    }
  }

  private static Map<?, ?> overlay(OverlayTarget target) {
    return (Map<?, ?>) target.details().getOrDefault("overlay", Map.of());
  }

  private static long allocated(OverlayTarget target) {
    return overlay(target).get("allocatedBytes") instanceof Long bytes ? bytes : -1;
  }

  private static long descriptors() throws IOException {
    try (var list = Files.list(Path.of("/proc/self/fd"))) {
      return list.count();
    }
  }

  private static int run(String... command) throws Exception {
    Process process = new ProcessBuilder(command).inheritIO().start();
    assertTrue(process.waitFor(10, TimeUnit.SECONDS));
    return process.exitValue();
  }

  private static byte[] bytes(int length) {
    byte[] bytes = new byte[length];
    Arrays.fill(bytes, (byte) 'x');
    return bytes;
  }
}
