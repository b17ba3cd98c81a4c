package io.ublkbridge.s3;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;
import io.netty.util.collection.IntObjectHashMap;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;

/// The frames of a compressed image as one event loop sees them: fetched, decompressed by others,
/// and the last ones kept, since a frame is longer than what is asked of it at once. Confined to
/// the event loop.
///
/// A frame is fetched once however many wait for it; neighbours come with one GET.
final class Frames {
  /// Somebody who needs frames.
  interface Waiter {
    /// A frame is there.
    ///
    /// @param bytes what it holds of the image; only until this returns
    void arrived(int frame, MemorySegment bytes);

    /// Whether nobody waits for what it does.
    boolean background();

    /// A frame cannot be had.
    void failed(int frame, StoreException why);
  }

  /// What a queue's frames need of the world.
  ///
  /// @param keptBytes how much memory decompressed frames may take beyond those under way; the last
  ///   one is kept whatever it takes
  record Lane(
      Executor loop,
      ObjectVersion object,
      SeekTable table,
      ObjectStore store,
      FrameDecoder decoder,
      ByteBudget budget,
      ByteBufAllocator buffers,
      StoreCounters counters,
      long keptBytes) {}

  private final Lane lane;
  private final SeekTable table;
  private final IntObjectHashMap<Frame> frames = new IntObjectHashMap<>();

  /// Those that are there, the oldest first.
  private final ArrayDeque<Frame> kept = new ArrayDeque<>();

  private long keptBytes;

  Frames(Lane lane) {
    this.lane = lane;
    this.table = lane.table();
  }

  /// Gets frames `first` to `last`, but none that hold nothing; the waiter is told of each once,
  /// perhaps before this returns.
  ///
  /// @param getBytes how long a GET of several frames may be
  void want(int first, int last, int getBytes, Waiter waiter) {
    List<Frame> missing = new ArrayList<>();
    for (int i = first; i <= last; i++) {
      if (table.length(i) == 0) {
        continue;
      }
      Frame frame = frames.get(i);
      if (frame == null) {
        frame = new Frame(i);
        frames.put(i, frame);
        missing.add(frame);
      }
      if (frame.bytes == null) {
        frame.waiters.add(waiter);
      } else {
        waiter.arrived(i, frame.memory());
      }
    }
    fetch(missing, getBytes);
  }

  private void fetch(List<Frame> missing, int getBytes) {
    int from = 0;
    for (int i = 1; i <= missing.size(); i++) {
      if (i == missing.size() || !oneGet(missing, from, i, getBytes)) {
        lane.budget().take(new Run(List.copyOf(missing.subList(from, i))));
        from = i;
      }
    }
  }

  /// Whether a GET from one of the missing to another is not too long, and the other the next.
  private boolean oneGet(List<Frame> missing, int from, int to, int getBytes) {
    int last = missing.get(to).index;
    return compressedEnd(missing.get(to - 1).index) == table.compressedStart(last)
        && compressedEnd(last) - table.compressedStart(missing.get(from).index) <= getBytes;
  }

  private long compressedEnd(int frame) {
    return table.compressedStart(frame) + table.compressedLength(frame);
  }

  private void keep(Frame frame, ByteBuf bytes) {
    frame.bytes = bytes;
    kept.add(frame);
    keptBytes += bytes.capacity();
    while (keptBytes > lane.keptBytes() && kept.size() > 1) {
      forget(kept.removeFirst());
    }
  }

  private void forget(Frame frame) {
    ByteBuf bytes = frame.bytes;
    if (bytes != null) {
      frames.remove(frame.index);
      keptBytes -= bytes.capacity();
      bytes.release();
      frame.bytes = null;
    }
  }

  /// Lets all memory go, once nobody waits any more.
  void close() {
    while (!kept.isEmpty()) {
      forget(kept.removeFirst());
    }
  }

  /// One that is there or under way.
  private static final class Frame {
    private final int index;
    private List<Frames.Waiter> waiters = new ArrayList<>(1);
    private @Nullable ByteBuf bytes;

    Frame(int index) {
      this.index = index;
    }

    MemorySegment memory() {
      ByteBuf present = bytes;
      if (present == null) {
        throw new IllegalStateException("frame " + index + " is not there");
      }
      return memoryOf(present);
    }

    boolean background() {
      return waiters.stream().allMatch(Frames.Waiter::background);
    }

    /// Those who wait, who do so no more.
    List<Frames.Waiter> takeWaiters() {
      List<Frames.Waiter> taken = waiters;
      waiters = new ArrayList<>(1);
      return taken;
    }
  }

  private static MemorySegment memoryOf(ByteBuf buffer) {
    return MemorySegment.ofBuffer(buffer.nioBuffer(0, buffer.capacity()));
  }

  /// Neighbours that come with one GET.
  private final class Run implements ByteBudget.Taker {
    private final List<Frame> run;
    private final long startBytes;
    private final int compressedBytes;
    private final long lengthBytes;
    private int unended;

    Run(List<Frame> run) {
      this.run = run;
      startBytes = table.compressedStart(run.getFirst().index);
      compressedBytes = Math.toIntExact(compressedEnd(run.getLast().index) - startBytes);
      long decompressed = 0;
      for (Frame frame : run) {
        decompressed += table.length(frame.index);
      }
      lengthBytes = compressedBytes + decompressed;
    }

    @Override
    public long lengthBytes() {
      return lengthBytes;
    }

    @Override
    public void granted() {
      ByteBuf compressed;
      try {
        compressed = lane.buffers().directBuffer(compressedBytes, compressedBytes);
      } catch (OutOfMemoryError e) {
        lane.budget().giveBack(lengthBytes);
        StoreException failure = StoreException.noMemory(compressedBytes, e);
        run.forEach(frame -> fail(frame, failure));
        return;
      }
      var _ =
          lane.store()
              .get(
                  lane.object(),
                  startBytes,
                  Destination.of(memoryOf(compressed)),
                  new ObjectStore.End() {
                    @Override
                    public void ended(@Nullable StoreException failure) {
                      fetched(compressed, failure);
                    }

                    @Override
                    public boolean background() {
                      return run.stream().allMatch(Frame::background);
                    }
                  });
    }

    private void fetched(ByteBuf compressed, @Nullable StoreException failure) {
      unended = run.size();
      for (Frame frame : run) {
        if (failure != null) {
          fail(frame, failure);
          ended(compressed);
        } else {
          decode(frame, compressed);
        }
      }
    }

    private void decode(Frame frame, ByteBuf compressed) {
      int length = table.length(frame.index);
      ByteBuf bytes;
      try {
        bytes = lane.buffers().directBuffer(length, length);
      } catch (OutOfMemoryError e) {
        fail(frame, StoreException.noMemory(length, e));
        ended(compressed);
        return;
      }
      MemorySegment from =
          memoryOf(compressed)
              .asSlice(
                  table.compressedStart(frame.index) - startBytes,
                  table.compressedLength(frame.index));
      lane.decoder()
          .decode(
              table,
              frame.index,
              from,
              memoryOf(bytes),
              lane.loop(),
              failure -> {
                if (failure == null) {
                  arrive(frame, bytes);
                } else {
                  bytes.release();
                  fail(frame, failure);
                }
                ended(compressed);
              });
    }

    private void arrive(Frame frame, ByteBuf bytes) {
      lane.counters().decoded(bytes.capacity());
      keep(frame, bytes);
      for (Waiter waiter : frame.takeWaiters()) {
        waiter.arrived(frame.index, memoryOf(bytes));
      }
    }

    /// Forgotten first: who asks again has it fetched again.
    private void fail(Frame frame, StoreException why) {
      frames.remove(frame.index);
      for (Waiter waiter : frame.takeWaiters()) {
        waiter.failed(frame.index, why);
      }
    }

    private void ended(ByteBuf compressed) {
      if (--unended == 0) {
        compressed.release();
        lane.budget().giveBack(lengthBytes);
      }
    }
  }
}
