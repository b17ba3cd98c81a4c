package io.ublkbridge.nbd;

import io.netty.channel.IoEventLoop;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.InternalRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.Operation;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.SuccessionFile;
import io.ublkbridge.target.TargetQueue;
import io.ublkbridge.target.TargetUri;
import io.ublkbridge.target.UringLoops;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import org.jspecify.annotations.Nullable;

/// Random reads or writes at a fixed depth against a server that is already there; prints what one
/// request costs the event loop's thread. A program, not a test: `NbdBenchmark <uri> <depth>
/// <bytes> <count> read|write [journal file]`.
///
/// The requester is as cheap as one can be, so that what is seen is the client's own cost. Numbers
/// of time depend on the machine; compare only what was run side by side.
@SuppressWarnings("SystemOut")
final class NbdBenchmark {
  private final TargetQueue queue;
  private final long blocks;
  private final int bytes;
  private final Operation operation;
  private final CountDownLatch done = new CountDownLatch(1);
  private long left;
  private int running;
  private long seed = 42;

  private NbdBenchmark(
      TargetQueue queue, long sizeBytes, int bytes, Operation operation, long count) {
    this.queue = queue;
    this.blocks = sizeBytes / bytes;
    this.bytes = bytes;
    this.operation = operation;
    this.left = count;
  }

  public static void main(String[] args) throws Exception {
    int depth = Integer.parseInt(args[1]);
    int bytes = Integer.parseInt(args[2]);
    long count = Long.parseLong(args[3]);
    Operation operation = args[4].equals("write") ? Operation.WRITE : Operation.READ;
    Optional<SuccessionFile> file =
        args.length < 6
            ? Optional.empty()
            : Optional.of(new SuccessionFile(Path.of(args[5]), false));
    try (UringLoops loops = new UringLoops(1)) {
      IoEventLoop loop = loops.next();
      OpenContext context = new OpenContext(loop, false, Duration.ofSeconds(10), Map.of());
      try (BlockTarget target = new NbdTargetProvider().open(TargetUri.parse(args[0]), context);
          TargetQueue queue =
              target.openQueue(new QueueContext(0, 1, depth, 1 << 20, loop, file))) {
        long size = target.geometry().sizeBytes();
        for (int round = 0; round < 5; round++) {
          new NbdBenchmark(queue, size, bytes, operation, count).run(loop, depth);
        }
      }
    }
  }

  private void run(IoEventLoop loop, int depth) throws Exception {
    var threads = (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
    long id = UringLoops.run(loop, () -> Thread.currentThread().threadId());
    long count = left;
    long cpu = threads.getThreadCpuTime(id);
    long allocated = threads.getThreadAllocatedBytes(id);
    long start = loop.ticker().nanoTime();
    loop.execute(() -> startAll(depth));
    done.await();
    long wall = loop.ticker().nanoTime() - start;
    System.out.printf(
        "%s %d bytes, depth %d: %d IOPS, %d ns of loop CPU and %.1f bytes of heap per request%n",
        operation,
        bytes,
        depth,
        count * 1_000_000_000L / wall,
        (threads.getThreadCpuTime(id) - cpu) / count,
        (double) (threads.getThreadAllocatedBytes(id) - allocated) / count);
  }

  private void startAll(int depth) {
    running = depth;
    for (int i = 0; i < depth; i++) {
      new Lane().next();
    }
  }

  /// One request after another.
  private final class Lane extends InternalRequest {
    private final MemorySegment payload = Arena.global().allocate(bytes);
    private long offset;

    Lane() {
      super(operation);
    }

    private void next() {
      if (left-- <= 0) {
        if (--running == 0) {
          done.countDown();
        }
        return;
      }
      seed = seed * 6364136223846793005L + 1442695040888963407L;
      offset = Long.remainderUnsigned(seed >>> 16, blocks) * bytes;
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
    public void loadPayload(long at, MemorySegment into) {
      MemorySegment.copy(payload, at, into, 0, into.byteSize());
    }

    @Override
    public void storePayload(long at, MemorySegment from) {
      MemorySegment.copy(from, 0, payload, at, from.byteSize());
    }

    @Override
    public void complete() {
      next();
    }

    @Override
    public void fail(IoError error, @Nullable Throwable cause) {
      throw new AssertionError(error + " at " + offset, cause);
    }
  }
}
