package io.ublkbridge.s3;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.target.RecordedRequest;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetUri;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/// A compressed image in memory, read as a queue would read it: the test's thread is the loop.
final class CompressedBytes implements AutoCloseable {
  private static final int GET_BYTES = 64 << 10;

  private final FrameDecoder decoder = new FrameDecoder();
  private final LinkedBlockingQueue<Runnable> loop = new LinkedBlockingQueue<>();
  private final ScarceBuffers buffers = new ScarceBuffers();
  private final Store store = new Store();
  private final StoreCounters counters = new StoreCounters();
  private final Set<String> callers = ConcurrentHashMap.newKeySet();
  private final byte[] bytes;
  private final SeekTable table;
  private final S3Image image;
  private final Frames frames;

  /// @param keptBytes how much of decompressed frames is kept
  CompressedBytes(byte[] bytes, long keptBytes) throws StoreException, TargetOpenException {
    this.bytes = bytes;
    this.table = table(bytes);
    ObjectVersion object = new ObjectVersion("disk.img.zst", "\"e\"", null, bytes.length);
    this.image = new S3Image(S3Uri.parse(TargetUri.parse("s3://b2/disk.img.zst")), object, table);
    this.frames =
        new Frames(
            new Frames.Lane(
                this::later,
                object,
                table,
                store,
                decoder,
                new ByteBudget(1 << 20),
                buffers,
                counters,
                keptBytes));
  }

  static SeekTable table(byte[] bytes) throws StoreException, TargetOpenException {
    return SeekTableReader.read((offset, into) -> copy(bytes, offset, into), bytes.length);
  }

  private static void copy(byte[] bytes, long offset, MemorySegment into) {
    into.copyFrom(MemorySegment.ofArray(bytes).asSlice(offset, into.byteSize()));
  }

  SeekTable table() {
    return table;
  }

  ScarceBuffers buffers() {
    return buffers;
  }

  int gets() {
    return store.gets;
  }

  long framesDecoded() {
    return counters.framesDecoded();
  }

  /// Who had something for the loop to do.
  Set<String> callers() {
    return callers;
  }

  private void later(Runnable action) {
    callers.add(Thread.currentThread().getName());
    loop.add(action);
  }

  /// What of it is in memory now, decompressed or on its way.
  long memoryBytes() {
    return buffers.usedBytes();
  }

  void failNextGet(StoreException.Kind kind) {
    store.failure = new StoreException(kind, "scripted");
  }

  /// Starts reads, without waiting.
  void submit(RecordedRequest... reads) {
    for (RecordedRequest read : reads) {
      new CompressedRead(read, image, table, () -> 0).start(frames, GET_BYTES);
    }
  }

  /// Starts reads and waits until all have ended.
  void read(RecordedRequest... reads) {
    submit(reads);
    finish(reads);
  }

  /// Does the loop's work until these reads have ended, whoever started them.
  void finish(RecordedRequest... reads) {
    try {
      while (!Arrays.stream(reads).allMatch(RecordedRequest::ended)) {
        Runnable next = loop.poll(60, TimeUnit.SECONDS);
        assertTrue(next != null, () -> "reads hang: " + Arrays.toString(reads));
        next.run();
      }
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  @Override
  public void close() {
    frames.close();
    decoder.close();
  }

  /// Answers at once.
  private final class Store implements ObjectStore {
    private int gets;
    private @Nullable StoreException failure;

    @Override
    public Call get(ObjectVersion object, long offsetBytes, Destination into, End end) {
      gets++;
      StoreException why = failure;
      failure = null;
      if (why == null) {
        into.put(0, MemorySegment.ofArray(bytes).asSlice(offsetBytes, into.lengthBytes()));
      }
      end.ended(why);
      return () -> {};
    }

    @Override
    public CompletionStage<ObjectVersion> look(String key, @Nullable String versionId) {
      return CompletableFuture.failedFuture(new AssertionError("no look"));
    }

    @Override
    public void close() {}
  }
}
