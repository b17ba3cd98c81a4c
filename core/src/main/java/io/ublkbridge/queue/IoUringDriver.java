package io.ublkbridge.queue;

import io.netty.channel.IoEvent;
import io.netty.channel.IoRegistration;
import io.netty.channel.uring.IoUringIoEvent;
import io.netty.channel.uring.IoUringIoOps;
import io.netty.util.concurrent.Ticker;
import io.ublkbridge.kernel.CharDevice;
import io.ublkbridge.kernel.EventLoopTurns;
import io.ublkbridge.kernel.IoCommand;
import io.ublkbridge.kernel.TurnHandle;
import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.TargetQueue;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/// The real driver: io commands as submissions in the event loop's own io_uring, payload by plain
/// `pread` and `pwrite` on `/dev/ublkcN` straight between the kernel and the final memory.
///
/// Confined to the queue's event loop. Netty sleeps and loses count when an exception leaves
/// [#handle], so none does.
public final class IoUringDriver implements UblkDriver, TurnHandle {
  private final CharDevice device;
  private final Ticker ticker;
  private final MemorySegment descriptors;
  private final int index;
  private final int depth;
  private final UblkQueue queue;
  private final CompletableFuture<Void> unregistered = new CompletableFuture<>();
  private @Nullable IoRegistration registration;
  private @Nullable EventLoopTurns turns;

  /// Whether the ring has a buffer for every tag, which the kernel lets be the tag's payload.
  private boolean payloadBuffers;

  /// Tags whose commits leave at the end of this turn, and their results.
  private final int[] committedTags;

  private final int[] committedResults;
  private int committed;

  /// Prepares the queue of a device; to be registered with the event loop of `context`.
  public IoUringDriver(
      CharDevice device,
      QueueContext context,
      String name,
      TargetQueue target,
      Consumer<Throwable> failureHandler) {
    this.device = device;
    this.ticker = context.eventLoop().ticker();
    this.descriptors = device.mapDescriptors(context.index());
    this.index = context.index();
    this.depth = context.depth();
    this.committedTags = new int[depth];
    this.committedResults = new int[depth];
    this.queue = new UblkQueue(name, this, target, failureHandler);
  }

  public UblkQueue queue() {
    return queue;
  }

  /// Binds the driver to its loop's ring and hands every tag to the kernel.
  public void start(IoRegistration bound) {
    registration = bound;
    EventLoopTurns loopTurns = turns;
    payloadBuffers =
        device.registersPayload() && loopTurns != null && loopTurns.registerBuffers(depth);
    queue.start();
  }

  /// Whether tags were handed to the kernel. Any thread, once the loop has run [#start].
  public boolean started() {
    return registration != null;
  }

  /// Lets go of the ring; only after the queue has drained, since what is submitted later would be
  /// lost without a word.
  public void stop() {
    if (registration != null) {
      registration.cancel();
    } else {
      unregistered.complete(null);
    }
  }

  /// Completes when the ring no longer knows the driver, after [#stop]. Any thread may ask.
  public CompletableFuture<Void> stopped() {
    return unregistered;
  }

  @Override
  public void joined(EventLoopTurns loopTurns) {
    turns = loopTurns;
  }

  @Override
  public void handle(IoRegistration source, IoEvent event) {
    // The event object is reused by Netty: everything of it is read here.
    IoUringIoEvent completion = (IoUringIoEvent) event;
    queue.onCompletion((int) completion.userData(), completion.res());
  }

  @Override
  public void unregistered() {
    unregistered.complete(null);
  }

  @Override
  public void close() {
    // The device owns the file; nothing here outlives the registration.
  }

  @Override
  public int depth() {
    return depth;
  }

  @Override
  public long nanoTime() {
    return ticker.nanoTime();
  }

  @Override
  public MemorySegment descriptors() {
    return descriptors;
  }

  @Override
  public void fetch(int tag) {
    submit(IoCommand.fetch(device, index, tag));
  }

  @Override
  public void commitAndFetch(int tag, int result) {
    EventLoopTurns loopTurns = turns;
    if (loopTurns == null) {
      throw new IllegalStateException(queue + " is on a loop without turns");
    }
    if (committed == 0) {
      loopTurns.endWith(this);
    }
    committedTags[committed] = tag;
    committedResults[committed] = result;
    committed++;
  }

  @Override
  public void turnEnded() {
    try {
      for (int i = 0; i < committed; i++) {
        submit(IoCommand.commitAndFetch(device, index, committedTags[i], committedResults[i]));
      }
      committed = 0;
    } catch (RuntimeException | Error e) {
      queue.failed(e);
    }
  }

  @Override
  public int payloadBuffer(int tag) {
    return payloadBuffers ? tag : BlockRequest.NO_BUFFER;
  }

  @Override
  public boolean load(int tag, long at, MemorySegment into) {
    return device.load(index, tag, at, into) == into.byteSize();
  }

  @Override
  public boolean store(int tag, long at, MemorySegment from) {
    return device.store(index, tag, at, from) == from.byteSize();
  }

  private void submit(IoUringIoOps command) {
    IoRegistration ring = registration;
    if (ring == null || !ring.isValid() || ring.submit(command) == 0) {
      throw new IllegalStateException("the ring did not take a command of " + queue);
    }
  }
}
