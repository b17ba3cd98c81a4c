package io.ublkbridge.s3;

import io.netty.channel.IoEventLoop;
import io.ublkbridge.cache.CachedTarget;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.InternalRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.Operation;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.TargetQueue;
import io.ublkbridge.target.TargetUri;
import io.ublkbridge.target.UringLoops;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.CountDownLatch;
import java.util.function.LongUnaryOperator;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/// Reads of an object on a server that is already there (`it/s3/serve`), without a device; prints
/// how fast they are and what they cost the event loop's thread and the store. A program, not a
/// test: `S3Benchmark URL s3://BUCKET/KEY ROUNDS`.
///
/// The first kind of reads is what the same client can get at all: GETs of 8 MiB side by side. It
/// is followed by what the device does, behind a cache that is new each round.
@SuppressWarnings("SystemOut")
final class S3Benchmark {
  private static final int MIB = 1 << 20;

  private final IoEventLoop loop;
  private final TargetQueue queue;
  private final int bytes;
  private final LongUnaryOperator offsets;
  private final CountDownLatch done = new CountDownLatch(1);
  private long begun;
  private final long count;
  private int running;
  private @Nullable AssertionError failure;

  /// @param offsets where the n-th read begins
  private S3Benchmark(
      IoEventLoop loop, TargetQueue queue, int bytes, long count, LongUnaryOperator offsets) {
    this.loop = loop;
    this.queue = queue;
    this.bytes = bytes;
    this.count = count;
    this.offsets = offsets;
  }

  public static void main(String[] args) throws Exception {
    TargetUri uri = TargetUri.parse(args[1]);
    S3TargetProvider provider = new S3TargetProvider();
    try (UringLoops loops = new UringLoops(1)) {
      IoEventLoop loop = loops.next();
      OpenContext context =
          new OpenContext(loop, true, Duration.ofSeconds(60), Stores.options(args[0]));
      for (int round = 0; round < Integer.parseInt(args[2]); round++) {
        try (BlockTarget target = provider.open(uri, context)) {
          long size = target.geometry().sizeBytes();
          try (TargetQueue queue = target.openQueue(context(loop))) {
            new S3Benchmark(loop, queue, 8 * MIB, size / (8 * MIB), n -> n * 8 * MIB)
                .run("parallel GETs, 8M at depth 8", target, 8);
          }
        }
        try (BlockTarget target = provider.open(uri, context);
            BlockTarget cached =
                CachedTarget.over(target, uri, context, provider.cacheBytesByDefault());
            TargetQueue queue = cached.openQueue(context(loop))) {
          long size = target.geometry().sizeBytes();
          new S3Benchmark(loop, queue, MIB, size / MIB, n -> n * MIB)
              .run("sequential, 1M at depth 4", target, 4);
        }
        try (BlockTarget target = provider.open(uri, context);
            BlockTarget cached =
                CachedTarget.over(target, uri, context, provider.cacheBytesByDefault());
            TargetQueue queue = cached.openQueue(context(loop))) {
          long blocks = target.geometry().sizeBytes() / 4096;
          SplittableRandom random = new SplittableRandom(round);
          LongUnaryOperator anywhere = _ -> random.nextLong(blocks) * 4096;
          new S3Benchmark(loop, queue, 4096, 1024, anywhere)
              .run("random, 4K at depth 32", target, 32);
        }
      }
    }
  }

  private static QueueContext context(IoEventLoop loop) {
    return new QueueContext(0, 1, 64, MIB, loop);
  }

  private void run(String name, BlockTarget target, int depth) throws Exception {
    var threads = ManagementFactory.getThreadMXBean();
    long id = UringLoops.run(loop, () -> Thread.currentThread().threadId());
    long gets = detail(target, "gets");
    long fetched = detail(target, "bytesFetched");
    long cpu = threads.getThreadCpuTime(id);
    // Here, where memory that cannot be had is an error that is seen.
    List<Lane> lanes = Stream.generate(Lane::new).limit(depth).toList();
    running = depth;
    long start = loop.ticker().nanoTime();
    loop.execute(() -> lanes.forEach(Lane::next));
    done.await();
    if (failure != null) {
      throw failure;
    }
    double seconds = (loop.ticker().nanoTime() - start) / 1e9;
    double mebibytes = (double) bytes * count / MIB;
    System.out.printf(
        "%s: %.1f MiB/s, %.0f reads/s, %.3f ms of loop CPU per MiB fetched, %d GETs, %.1f MiB fetched,"
            + " %d hedges, %d retries%n",
        name,
        mebibytes / seconds,
        count / seconds,
        (threads.getThreadCpuTime(id) - cpu)
            / 1e6
            / ((double) (detail(target, "bytesFetched") - fetched) / MIB),
        detail(target, "gets") - gets,
        (double) (detail(target, "bytesFetched") - fetched) / MIB,
        detail(target, "hedges"),
        detail(target, "retries"));
  }

  private static long detail(BlockTarget target, String name) {
    return (Long) target.details().getOrDefault(name, -1L);
  }

  /// One request after another.
  private final class Lane extends InternalRequest {
    private final MemorySegment payload = Arena.ofAuto().allocate(bytes);
    private long offset;

    Lane() {
      super(Operation.READ);
    }

    private void next() {
      if (begun == count) {
        if (--running == 0) {
          done.countDown();
        }
        return;
      }
      offset = offsets.applyAsLong(begun++);
      queue.submit(this);
    }

    @Override
    public long offsetBytes() {
      return offset;
    }

    @Override
    public long lengthBytes() {
      return bytes;
    }

    @Override
    public void storePayload(long at, MemorySegment from) {
      MemorySegment.copy(from, 0, payload, at, from.byteSize());
    }

    @Override
    public void complete() {
      // Not at once: a warm cache would recurse.
      loop.execute(this::next);
    }

    @Override
    public void fail(IoError error, @Nullable Throwable cause) {
      failure = new AssertionError(error + " at " + offset, cause);
      done.countDown();
    }
  }
}
