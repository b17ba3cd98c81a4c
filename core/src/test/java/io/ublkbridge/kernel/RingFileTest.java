package io.ublkbridge.kernel;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.netty.channel.IoEvent;
import io.netty.channel.IoEventLoop;
import io.netty.channel.IoRegistration;
import io.ublkbridge.target.UringLoops;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Objects;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RingFileTest {
  private static final int RW = Posix.O_RDWR | Posix.O_CLOEXEC;

  @AutoClose private final UringLoops loops = new UringLoops(1);
  private final IoEventLoop loop = loops.next();
  private final BlockingQueue<String> ends = new ArrayBlockingQueue<>(16);
  private final MemorySegment memory = Arena.ofAuto().allocate(8192, 4096);
  private final Path path;
  private final RingFile file;

  RingFileTest(@TempDir Path directory) throws IOException {
    path = directory.resolve("file");
    Files.write(path, new byte[16384]);
    file = new RingFile(Posix.open(path.toString(), RW), Posix.open(path.toString(), RW));
  }

  @Test
  void doesWhatIsAskedAndSaysWhichEnded() throws Exception {
    file.join(loop, (tag, result) -> ends.add(tag + ":" + result));
    memory.copyFrom(MemorySegment.ofArray("bytes".getBytes(US_ASCII)));

    run(() -> file.write(RingFile.TAGS_MAX - 1, 4096, memory.address(), 4096, true));
    assertEquals("32767:4096", end());
    run(() -> file.read(0, 4096, memory.address() + 4096, 4096));
    assertEquals("0:4096", end());
    assertArrayEquals(
        "bytes".getBytes(US_ASCII), memory.asSlice(4096, 5).toArray(ValueLayout.JAVA_BYTE));
    run(() -> file.dataSync(3));
    assertEquals("3:0", end());
    run(() -> file.punchHole(4, 4096, 4096));
    assertEquals("4:0", end());
    assertEquals(0, Files.readAllBytes(path)[4096]);
    run(() -> file.read(5, 16384, memory.address(), 4096));
    assertEquals("5:0", end());
    run(() -> file.read(6, 0, 1, 4096));
    assertEquals("6:-14", end());
    assertTrue(file.close());
  }

  /// The kernel answers EINVAL for a buffer outside of the table, EFAULT for an empty one in it.
  @Test
  void aLoopsRingGetsATableOfEmptyBuffersOnce() throws Exception {
    Member member = new Member();
    loop.register(member).get(10, TimeUnit.SECONDS);
    file.join(loop, (tag, result) -> ends.add(tag + ":" + result));
    run(() -> file.readFixed(1, 0, 3, 0, 4096));
    assertTrue(end().startsWith("1:-"), "there is no table yet");

    run(() -> ends.add("table " + member.turns().registerBuffers(4)));
    assertEquals("table true", end());
    run(() -> file.readFixed(2, 0, 3, 0, 4096));
    assertEquals("2:-14", end());
    run(() -> ends.add("again " + member.turns().registerBuffers(4)));
    assertEquals("again false", end());
    assertTrue(file.close());
  }

  private static final class Member implements TurnHandle {
    private @Nullable EventLoopTurns turns;

    EventLoopTurns turns() {
      return Objects.requireNonNull(turns);
    }

    @Override
    public void joined(EventLoopTurns loopTurns) {
      turns = loopTurns;
    }

    @Override
    public void turnEnded() {}

    @Override
    public void handle(IoRegistration source, IoEvent event) {}

    @Override
    public void close() {}
  }

  @Test
  void anOperationOutsideOfTheRingIsCanceled() throws Exception {
    file.join(loop, (tag, result) -> ends.add(tag + ":" + result));
    assertTrue(file.close());

    run(() -> file.dataSync(9));

    assertEquals("9:-" + Errno.ECANCELED, end());
  }

  @Test
  void closingClosesBothDescriptors() throws Exception {
    file.join(loop, (_, _) -> {});
    assertEquals(2, descriptors());
    assertTrue(file.close());
    assertEquals(0, descriptors());
  }

  private long descriptors() throws IOException {
    try (var list = Files.list(Path.of("/proc/self/fd"))) {
      return Arrays.stream(list.toArray(Path[]::new)).filter(this::leadsToFile).count();
    }
  }

  private boolean leadsToFile(Path descriptor) {
    try {
      return Files.readSymbolicLink(descriptor).equals(path);
    } catch (IOException e) {
      // The one that lists the directory is gone already.
      return false;
    }
  }

  private void run(Runnable action) {
    UringLoops.run(
        loop,
        () -> {
          action.run();
          return "";
        });
  }

  private String end() throws InterruptedException {
    return String.valueOf(ends.poll(10, TimeUnit.SECONDS));
  }
}
