package io.ublkbridge.queue;

import io.ublkbridge.kernel.IoDescriptor;
import io.ublkbridge.kernel.UblkAbi;
import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import io.ublkbridge.target.PayloadException;
import io.ublkbridge.target.TargetQueue;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.EnumSet;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// One hardware queue of a device: turns completions of tags into requests for the target, and
/// their ends into commits.
///
/// Confined to the queue's event loop, except for what says otherwise. A broken invariant (a tag
/// with two owners, a request that ends twice, a commit that the kernel refuses) is reported once
/// to the failure handler, which must end the process: a queue that serves only some of its tags
/// would hang the disk for ever.
public final class UblkQueue {
  private static final Logger log = LoggerFactory.getLogger(UblkQueue.class);

  private final String name;
  private final UblkDriver driver;
  private final TargetQueue target;
  private final Consumer<Throwable> failureHandler;
  private final IoSlot[] slots;
  private final QueueCounters counters = new QueueCounters();
  private final CompletableFuture<Void> drained = new CompletableFuture<>();
  private final Set<IoError> errorsLogged = EnumSet.noneOf(IoError.class);
  private int tagsLeft;
  private int atTarget;
  private boolean failed;
  private boolean flushOwesError;

  /// Not null while requests are held; completes when the target has none.
  private @Nullable CompletableFuture<Void> rest;

  /// Prepares a queue; [#start] begins.
  ///
  /// @param name for messages: `ublkb0 queue 1`
  /// @param failureHandler told on the event loop, at most once, that the queue cannot go on
  public UblkQueue(
      String name, UblkDriver driver, TargetQueue target, Consumer<Throwable> failureHandler) {
    this.name = name;
    this.driver = driver;
    this.target = target;
    this.failureHandler = failureHandler;
    this.slots = new IoSlot[driver.depth()];
    for (int tag = 0; tag < slots.length; tag++) {
      slots[tag] = new IoSlot(this, tag);
    }
  }

  /// Hands every tag to the kernel.
  public void start() {
    try {
      for (IoSlot slot : slots) {
        slot.state(SlotState.KERNEL);
        tagsLeft++;
        driver.fetch(slot.tag());
      }
    } catch (RuntimeException | Error e) {
      failed(e);
    }
  }

  /// Completes, on the event loop, when the kernel has taken every tag away: the device was stopped
  /// and nothing is in flight. Any thread may ask.
  public CompletionStage<Void> drained() {
    return drained;
  }

  /// Lets no request pass to the target until [#release]. Those that it has go on.
  ///
  /// @return completes, on the event loop, when the last of them has ended; the same for every call
  ///   until it is released
  public CompletionStage<Void> hold() {
    CompletableFuture<Void> held = rest;
    if (held == null) {
      held = new CompletableFuture<>();
      rest = held;
      if (atTarget == 0) {
        held.complete(null);
      }
    }
    return held;
  }

  /// Passes on what was held, and then everything again.
  public void release() {
    rest = null;
    try {
      for (IoSlot slot : slots) {
        if (slot.state() == SlotState.HELD) {
          begin(slot);
        }
      }
    } catch (RuntimeException | Error e) {
      failed(e);
    }
  }

  /// A flush that the kernel did not ask for has failed: the next one that it asks for must, too,
  /// or nobody would hear of it.
  public void oweFlushError() {
    flushOwesError = true;
  }

  /// Whether the kernel has a tag without a request.
  public boolean hasIdleTag() {
    for (IoSlot slot : slots) {
      if (slot.state() == SlotState.KERNEL) {
        return true;
      }
    }
    return false;
  }

  /// Any thread may read them.
  public QueueCounters counters() {
    return counters;
  }

  /// A fetch or commit of this tag came back.
  ///
  /// @param result `UBLK_IO_RES_OK` for a request, `UBLK_IO_RES_ABORT` when the device goes away,
  ///   or the negative error number of a refused command
  public void onCompletion(int tag, int result) {
    try {
      IoSlot slot = slots[tag];
      if (slot.state() != SlotState.KERNEL) {
        throw new IllegalStateException(
            "the kernel completed tag " + tag + " of " + name + ", which is " + slot.state());
      }
      if (result == UblkAbi.UBLK_IO_RES_OK && rest != null) {
        slot.state(SlotState.HELD);
      } else if (result == UblkAbi.UBLK_IO_RES_OK) {
        begin(slot);
      } else if (result == UblkAbi.UBLK_IO_RES_ABORT) {
        abandon(slot);
      } else {
        throw new IllegalStateException(
            "the kernel refused a command for tag " + tag + " of " + name + " with " + result);
      }
    } catch (RuntimeException | Error e) {
      failed(e);
    }
  }

  private void begin(IoSlot slot) {
    MemorySegment descriptors = driver.descriptors();
    int opFlags = IoDescriptor.opFlags(descriptors, slot.tag());
    Operation operation = operation(IoDescriptor.operation(opFlags));
    atTarget++;
    if (operation == null) {
      slot.state(SlotState.TARGET);
      commit(slot, -IoError.UNSUPPORTED.errno());
      return;
    }
    boolean ranged = operation != Operation.FLUSH;
    slot.begin(
        operation,
        ranged ? IoDescriptor.offsetBytes(descriptors, slot.tag()) : 0,
        ranged ? IoDescriptor.lengthBytes(descriptors, slot.tag()) : 0,
        IoDescriptor.durable(opFlags),
        IoDescriptor.mayUnmap(opFlags));
    slot.payloadIn(
        operation.hasPayload() && IoDescriptor.payloadRegistered(opFlags)
            ? driver.payloadBuffer(slot.tag())
            : BlockRequest.NO_BUFFER);
    counters.started();
    if (operation == Operation.FLUSH && flushOwesError) {
      flushOwesError = false;
      slot.fail(IoError.IO, new IOException("a flush has failed that nobody waited for"));
      return;
    }
    try {
      target.submit(slot);
    } catch (PayloadException e) {
      slot.fail(IoError.IO, e);
    }
  }

  /// The contract's word for `UBLK_IO_OP_*`, or null for an operation that was never offered.
  private static @Nullable Operation operation(int ublkOperation) {
    return switch (ublkOperation) {
      case UblkAbi.UBLK_IO_OP_READ -> Operation.READ;
      case UblkAbi.UBLK_IO_OP_WRITE -> Operation.WRITE;
      case UblkAbi.UBLK_IO_OP_FLUSH -> Operation.FLUSH;
      case UblkAbi.UBLK_IO_OP_DISCARD -> Operation.DISCARD;
      case UblkAbi.UBLK_IO_OP_WRITE_ZEROES -> Operation.WRITE_ZEROES;
      default -> null;
    };
  }

  private void abandon(IoSlot slot) {
    slot.state(SlotState.GONE);
    if (--tagsLeft == 0) {
      drained.complete(null);
    }
  }

  /// Ends the slot's request, exactly once.
  void end(IoSlot slot, @Nullable IoError error, @Nullable Throwable cause) {
    try {
      requireOwned(slot);
      counters.of(slot.operation()).ended(slot.lengthBytes(), error, slot.age());
      if (error != null) {
        logOnce(slot, error, cause);
        commit(slot, -error.errno());
      } else {
        commit(slot, slot.operation().hasPayload() ? (int) slot.lengthBytes() : 0);
      }
    } catch (RuntimeException | Error e) {
      failed(e);
    }
  }

  private void commit(IoSlot slot, int result) {
    slot.state(SlotState.KERNEL);
    driver.commitAndFetch(slot.tag(), result);
    if (--atTarget == 0 && rest != null) {
      rest.complete(null);
    }
  }

  /// The first error of each kind goes to the log with its cause; the others are only counted.
  private void logOnce(IoSlot slot, IoError error, @Nullable Throwable cause) {
    if (errorsLogged.add(error)) {
      log.warn(
          "{} failed with {}{}; further errors of this kind are only counted",
          slot,
          error,
          cause == null ? "" : ": " + cause);
    }
  }

  void requireOwned(IoSlot slot) {
    if (slot.state() != SlotState.TARGET) {
      throw new IllegalStateException(
          "the target used " + slot + " although it is " + slot.state());
    }
  }

  UblkDriver driver() {
    return driver;
  }

  void failed(Throwable reason) {
    if (!failed) {
      failed = true;
      failureHandler.accept(reason);
    }
  }

  @Override
  public String toString() {
    return name;
  }
}
