package io.ublkbridge.cache;

import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.netty.channel.IoEventLoop;
import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.FixedTarget;
import io.ublkbridge.target.ForwardingTarget;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.RecordedRequest;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import io.ublkbridge.target.TargetQueue;
import io.ublkbridge.target.TargetUri;
import io.ublkbridge.target.UringLoops;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The disk tier where it belongs: behind the memory of a cache, in front of a target.
final class DiskTierStackTest {
  private static final int BLOCK = 65536;
  private static final TierContents CONTENTS = new TierContents(99, 60, BLOCK);
  private static final Geometry GEOMETRY =
      new Geometry(CONTENTS.identity().sizeBytes(), 512, 4096, 1 << 20, 1 << 20);

  @AutoClose private final UringLoops loops = new UringLoops(1);
  private final IoEventLoop loop = loops.next();
  private final AtomicLong targetBytes = new AtomicLong();

  @TempDir private Path path = Path.of("");

  @Test
  void theNextAttachReadsNothingFromTheTarget() throws Exception {
    readAll(60);
    assertEquals(GEOMETRY.sizeBytes(), targetBytes.getAndSet(0));

    readAll(60);

    assertEquals(0, targetBytes.get());
  }

  @Test
  void aDamagedFileCostsFetchesAndNothingElse() throws Exception {
    readAll(60);
    targetBytes.set(0);
    try (RandomAccessFile file = new RandomAccessFile(onlyFile().toFile(), "rw")) {
      for (long at = 5 << 10; at < file.length(); at += 5 * BLOCK) {
        file.seek(at);
        file.write(new byte[] {1, 2, 3, 4});
      }
    }

    readAll(60);

    assertTrue(targetBytes.get() > 0);
  }

  @Test
  void aDiskThatFailsWhileInUseIsDoneWithout() throws Exception {
    readAll(60);
    targetBytes.set(0);
    try (Attached attached = attach(Map.of())) {
      assertEquals(0L, attached.disk("hitPercent"));
      attached.read(0);
      assertEquals(0, targetBytes.get());
      assertEquals(100L, attached.disk("hitPercent"));
      try (FileChannel file = FileChannel.open(onlyFile(), StandardOpenOption.WRITE)) {
        file.truncate(4096);
      }
      for (int block = 0; block < 60; block++) {
        attached.read(block);
      }
      assertEquals("off: is shorter than it was: EIO (input/output error)", attached.disk("state"));
    }
    assertTrue(targetBytes.get() > GEOMETRY.sizeBytes() / 2);
  }

  @Test
  void targetsWhoseContentsCanChangeAreRefused() {
    TargetOpenException refusal = refusal(plainTarget(), Map.of());
    assertEquals(Reason.INVALID, refusal.reason());
    assertEquals(
        "--cache-dir: the contents of this target can change, so nothing of it is kept on disk",
        refusal.getMessage());
  }

  @Test
  void optionsThatMakeNoSenseAreRefused() throws IOException {
    assertEquals(
        "--cache-disk: 1M is less than 16 blocks of 64K need",
        refusal(target(), Map.of("cache-disk", "1M")).getMessage());
    assertEquals(
        "--cache-dir: there is no cache", refusal(target(), Map.of("cache", "off")).getMessage());
    Path file = Files.createFile(path.resolve("file"));
    TargetOpenException refusal = refusal(target(), Map.of("cache-dir", file.toString()));
    assertEquals(Reason.FAILED, refusal.reason());
    assertEquals("the cache cannot use " + file + ": it is not a directory", refusal.getMessage());
    assertEquals(
        "the cache cannot use /proc/none: it cannot be created",
        refusal(target(), Map.of("cache-dir", "/proc/none")).getMessage());
  }

  @Test
  void aSizeAloneMeansTheUsualDirectory() throws Exception {
    OpenContext context =
        new OpenContext(loop, false, Duration.ofSeconds(10), Map.of("cache-disk", "20G"));
    DiskTierOptions options = DiskTierOptions.of(context, target(), BLOCK).orElseThrow();
    assertEquals(Path.of("/var/cache/ublk-bridge"), options.directory());
    assertEquals(20L << 30, options.bytesMax());

    context = new OpenContext(loop, false, Duration.ofSeconds(10), Map.of("cache-dir", "/x"));
    assertEquals(10L << 30, DiskTierOptions.of(context, target(), BLOCK).orElseThrow().bytesMax());
    context = new OpenContext(loop, false, Duration.ofSeconds(10), Map.of());
    assertTrue(DiskTierOptions.of(context, target(), BLOCK).isEmpty());
  }

  private void readAll(int blocks) throws Exception {
    try (Attached attached = attach(Map.of())) {
      for (int block = 0; block < blocks; block++) {
        attached.read(block);
        attached.settle();
      }
    }
  }

  private final class Attached implements AutoCloseable {
    final BlockTarget target;
    final TargetQueue queue;

    Attached(BlockTarget target) throws TargetOpenException {
      this.target = target;
      this.queue = target.openQueue(new QueueContext(0, 1, 16, 1 << 20, loop));
    }

    void read(int block) {
      byte[] expected = CONTENTS.bytes(block);
      RecordedRequest request = RecordedRequest.read((long) block * BLOCK, expected.length);
      UringLoops.submit(loop, queue, request);
      assertNull(request.await());
      assertArrayEquals(expected, request.payload(), "block " + block);
    }

    /// Waits until what was fetched is on the disk too.
    void settle() {
      for (int i = 0; i < 2000 && unsettled(); i++) {
        LockSupport.parkNanos(1_000_000);
      }
    }

    private boolean unsettled() {
      long known = (long) disk("hits") + (long) disk("writes") + (long) disk("corrupt");
      return known < (long) disk("hits") + (long) disk("misses");
    }

    @SuppressWarnings("unchecked") // A map of maps.
    Object disk(String name) {
      Map<String, Object> cache = (Map<String, Object>) target.details().get("cache");
      Map<String, Object> disk = (Map<String, Object>) requireNonNull(cache).get("disk");
      return requireNonNull(requireNonNull(disk).get(name));
    }

    @Override
    public void close() {
      queue.close();
      target.close();
    }
  }

  private Attached attach(Map<String, String> options) throws TargetOpenException {
    return new Attached(over(target(), options));
  }

  private BlockTarget over(BlockTarget target, Map<String, String> options)
      throws TargetOpenException {
    Map<String, String> all =
        new HashMap<>(
            Map.of("cache", "2M", "readahead", "off", "cache-dir", path.resolve("d").toString()));
    all.putAll(options);
    OpenContext context = new OpenContext(loop, false, Duration.ofSeconds(10), all);
    return CachedTarget.over(target, TargetUri.parse("test:x"), context, 0);
  }

  private TargetOpenException refusal(BlockTarget target, Map<String, String> options) {
    return assertThrows(TargetOpenException.class, () -> over(target, options));
  }

  private Path onlyFile() throws IOException {
    try (var files = Files.newDirectoryStream(path.resolve("d"), "*.tier")) {
      return files.iterator().next();
    }
  }

  private BlockTarget target() {
    return new ForwardingTarget(plainTarget()) {
      @Override
      public Optional<String> contentIdentity() {
        return Optional.of("contents of a test");
      }
    };
  }

  private BlockTarget plainTarget() {
    return new FixedTarget(
        GEOMETRY, new Capabilities(true, false, false, false, false, false, 4), new Lane());
  }

  /// Serves the contents, and counts.
  private final class Lane implements TargetQueue {
    @Override
    public void submit(BlockRequest request) {
      long end = request.offsetBytes() + request.lengthBytes();
      for (long at = request.offsetBytes(); at < end; at = (at / BLOCK + 1) * BLOCK) {
        byte[] block = CONTENTS.bytes(at / BLOCK);
        int from = (int) (at % BLOCK);
        int to = (int) Math.min(block.length, from + end - at);
        MemorySegment piece = MemorySegment.ofArray(Arrays.copyOfRange(block, from, to));
        MemorySegment offHeap = Arena.ofAuto().allocate(piece.byteSize());
        request.storePayload(at - request.offsetBytes(), offHeap.copyFrom(piece));
      }
      targetBytes.addAndGet(request.lengthBytes());
      request.complete();
    }

    @Override
    public void close() {}
  }
}
