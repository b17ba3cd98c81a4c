package io.ublkbridge.loop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.netty.channel.EventLoop;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.RecordedRequest;
import io.ublkbridge.target.TargetQueue;
import io.ublkbridge.target.UringLoops;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class MemoryTargetTest {
  private static final int CHUNK = (int) Chunk.BYTES;

  @AutoClose private final UringLoops loops = new UringLoops(4);

  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3, 20261123})
  void holdsWhatAModelHolds(long seed) {
    int size = 6 * CHUNK + 512;
    try (MemoryTarget target = new MemoryTarget(size);
        TargetQueue queue = target.openQueue(loops.queueContext(8))) {
      DiskModel model = new DiskModel(loops.next(), queue, 0, size, new SplittableRandom(seed));

      model.run(60, 2 * CHUNK);
      model.check();
    }
  }

  @Test
  void severalQueuesShareOneDisk() throws Exception {
    // Parts that are no multiple of a chunk, so that neighbours meet in chunks.
    int part = 3 * CHUNK - 512;
    try (MemoryTarget target = new MemoryTarget(4L * part);
        ExecutorService drivers = Executors.newFixedThreadPool(4)) {
      List<Future<?>> ends = new ArrayList<>();
      for (int i = 0; i < 4; i++) {
        EventLoop loop = loops.next();
        TargetQueue queue = target.openQueue(loops.queueContext(8));
        DiskModel model =
            new DiskModel(loop, queue, (long) i * part, part, new SplittableRandom(100 + i));
        ends.add(
            drivers.submit(() -> {
              model.run(80, 2 * CHUNK);
              model.check();
              queue.close();
            }));
      }
      for (Future<?> end : ends) {
        end.get(60, TimeUnit.SECONDS);
      }
    }
  }

  @Test
  void memoryComesWithWritesAndGoesWithDiscards() {
    try (MemoryTarget target = new MemoryTarget(1L << 50);
        TargetQueue queue = target.openQueue(loops.queueContext(8))) {
      long last = (1L << 50) - CHUNK;
      assertEquals(0L, target.details().get("allocatedBytes"));

      succeed(queue, RecordedRequest.write(last, bytes(CHUNK, 7), false));
      succeed(queue, RecordedRequest.write(CHUNK - 512, bytes(1024, 8), false));
      assertEquals(3L * CHUNK, target.details().get("allocatedBytes"));
      assertArrayEquals(bytes(CHUNK, 7), read(queue, last, CHUNK));

      succeed(queue, RecordedRequest.discard(last, CHUNK));
      succeed(queue, RecordedRequest.writeZeroes(0, CHUNK, false, true));
      assertEquals((long) CHUNK, target.details().get("allocatedBytes"));
      assertArrayEquals(new byte[CHUNK], read(queue, last, CHUNK));
      byte[] middle = new byte[1024];
      Arrays.fill(middle, 512, 1024, (byte) 8);
      assertArrayEquals(middle, read(queue, CHUNK - 512, 1024));
    }
  }

  @Test
  void aDroppedChunkLivesUntilItsLastReaderLetsGo() {
    try (ChunkTable chunks = new ChunkTable(4L * CHUNK)) {
      Chunk reader = chunks.pinnedOrNew(2);
      MemorySegment memory = reader.memory();
      memory.fill((byte) 9);

      chunks.drop(2);
      assertNull(chunks.pinned(2), "a dropped chunk is not found again");
      assertEquals(9, memory.get(ValueLayout.JAVA_BYTE, 0));

      reader.unpin();
      assertThrows(
          IllegalStateException.class,
          () -> memory.get(ValueLayout.JAVA_BYTE, 0),
          "nobody is left, but the memory is still there");
    }
  }

  @Test
  void readersAndDiscardsOfOneChunkMayMeet() throws Exception {
    try (MemoryTarget target = new MemoryTarget(CHUNK);
        ExecutorService drivers = Executors.newFixedThreadPool(3)) {
      List<Future<?>> ends = new ArrayList<>();
      for (int i = 0; i < 3; i++) {
        EventLoop loop = loops.next();
        TargetQueue queue = target.openQueue(loops.queueContext(8));
        int turn = i;
        ends.add(
            drivers.submit(() -> {
              for (int j = 0; j < 300; j++) {
                RecordedRequest request = collision(turn);
                UringLoops.submit(loop, queue, request);
                assertNull(request.await());
                assertUniform(request);
              }
              queue.close();
            }));
      }
      for (Future<?> end : ends) {
        end.get(60, TimeUnit.SECONDS);
      }
    }
  }

  @Test
  void refusesARangeOutsideTheDisk() {
    try (MemoryTarget target = new MemoryTarget(CHUNK);
        TargetQueue queue = target.openQueue(loops.queueContext(8))) {
      RecordedRequest read = RecordedRequest.read(CHUNK - 512, 1024);
      RecordedRequest overflow = RecordedRequest.discard(Long.MAX_VALUE - 511, 1024);

      queue.submit(read);
      queue.submit(overflow);

      assertEquals(IoError.IO, read.await());
      assertEquals(IoError.IO, overflow.await());
    }
  }

  private static RecordedRequest collision(int turn) {
    return switch (turn) {
      case 0 -> RecordedRequest.write(0, bytes(4096, 5), false);
      case 1 -> RecordedRequest.discard(0, CHUNK);
      default -> RecordedRequest.read(0, 65536);
    };
  }

  /// Bytes of a freed chunk would show as something that nobody wrote.
  private static void assertUniform(RecordedRequest request) {
    for (byte b : request.payload()) {
      if (b != 0 && b != 5) {
        throw new AssertionError("read " + b + ", which nobody wrote");
      }
    }
  }

  private void succeed(TargetQueue queue, RecordedRequest request) {
    UringLoops.submit(loops.next(), queue, request);
    assertNull(request.await());
  }

  private byte[] read(TargetQueue queue, long offset, int length) {
    RecordedRequest read = RecordedRequest.read(offset, length);
    succeed(queue, read);
    return read.payload();
  }

  private static byte[] bytes(int length, int value) {
    byte[] bytes = new byte[length];
    Arrays.fill(bytes, (byte) value);
    return bytes;
  }
}
