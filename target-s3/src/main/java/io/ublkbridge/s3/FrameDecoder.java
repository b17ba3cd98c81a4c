package io.ublkbridge.s3;

import com.github.luben.zstd.Zstd;
import com.github.luben.zstd.ZstdException;
import io.ublkbridge.s3.StoreException.Kind;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.Executor;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/// Decompresses frames on threads of its own: a frame takes milliseconds, which no event loop has.
/// One for all queues of a device; how much waits here is bounded by the queues' budgets.
///
/// Any thread may call.
final class FrameDecoder implements AutoCloseable {
  private static final int THREADS_MAX = 4;
  private static final int IDLE_SECONDS = 30;

  /// Told how decompressing has ended, on the caller's event loop.
  @FunctionalInterface
  interface End {
    /// Called once.
    ///
    /// @param failure null when all is well
    void decoded(@Nullable StoreException failure);
  }

  private final ThreadPoolExecutor threads;

  FrameDecoder() {
    AtomicInteger number = new AtomicInteger();
    int count = Math.clamp(Runtime.getRuntime().availableProcessors(), 1, THREADS_MAX);
    threads =
        new ThreadPoolExecutor(
            count,
            count,
            IDLE_SECONDS,
            TimeUnit.SECONDS,
            new LinkedBlockingQueue<>(),
            action ->
                Thread.ofPlatform()
                    .daemon()
                    .name("zstd-" + number.getAndIncrement())
                    .unstarted(action));
    threads.allowCoreThreadTimeOut(true);
  }

  /// Decompresses a frame.
  ///
  /// @param compressed all of it; off the heap, and the decoder's until the end
  /// @param into as long as the table says; likewise
  /// @param loop runs `end`, which is called once
  void decode(
      SeekTable table,
      int frame,
      MemorySegment compressed,
      MemorySegment into,
      Executor loop,
      End end) {
    try {
      threads.execute(() -> {
        StoreException failure = decode(table, frame, compressed, into);
        loop.execute(() -> end.decoded(failure));
      });
    } catch (RejectedExecutionException e) {
      loop.execute(() -> end.decoded(new StoreException(Kind.UNREACHABLE, "the disk is closed")));
    }
  }

  /// Decompresses a frame, here and now.
  ///
  /// @return what is wrong with it; null when all is well
  static @Nullable StoreException decode(
      SeekTable table, int frame, MemorySegment compressed, MemorySegment into) {
    String wrong;
    try {
      wrong = wrongIn(table, frame, compressed, into);
    } catch (ZstdException e) {
      wrong = StoreErrors.clean(String.valueOf(e.getMessage()));
    } catch (OutOfMemoryError e) {
      return StoreException.noMemory(into.byteSize(), e);
    } catch (RuntimeException | LinkageError e) {
      return new StoreException(Kind.UNREADABLE, "zstd cannot be used: " + e, null, e);
    }
    return wrong == null
        ? null
        : new StoreException(
            Kind.CORRUPT,
            "frame %d of the compressed image, at byte %d of the object, is damaged: %s"
                .formatted(frame, table.compressedStart(frame), wrong));
  }

  /// @throws ZstdException if it is no frame, or does not fit
  private static @Nullable String wrongIn(
      SeekTable table, int frame, MemorySegment compressed, MemorySegment into) {
    long length =
        Zstd.decompressDirectByteBuffer(
            into.asByteBuffer(),
            0,
            (int) into.byteSize(),
            compressed.asByteBuffer(),
            0,
            (int) compressed.byteSize());
    if (length != into.byteSize()) {
      return "it holds %d bytes, not %d".formatted(length, into.byteSize());
    }
    return table.matches(frame, into) ? null : "its checksum is not that of the table";
  }

  /// Once no queue is left.
  @Override
  public void close() {
    threads.shutdownNow();
  }
}
