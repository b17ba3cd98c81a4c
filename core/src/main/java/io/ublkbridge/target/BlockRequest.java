package io.ublkbridge.target;

import java.lang.foreign.MemorySegment;
import java.util.concurrent.CompletionStage;
import org.jspecify.annotations.Nullable;

/// One request for I/O, and at the same time the promise of its result.
///
/// The requester is a ublk slot, or a decorator that submits requests of its own. All methods are
/// confined to the event loop of the [TargetQueue] that the request was submitted to. The fields
/// stay constant from [TargetQueue#submit] until the request ends; afterwards the object may be
/// reused for another request, so nobody keeps it.
///
/// A target ends every request exactly once, by [#complete] or [#fail].
public interface BlockRequest {
  /// There is no such buffer.
  int NO_BUFFER = -1;

  Operation operation();

  /// Where the range starts, in bytes; 0 for FLUSH.
  long offsetBytes();

  /// How long the range is, in bytes; 0 for FLUSH.
  long lengthBytes();

  /// Whether a modification must be durable before the request completes (FUA).
  boolean durable();

  /// Whether WRITE_ZEROES may leave a hole behind instead of allocated zeroes.
  boolean mayUnmap();

  /// Whether nobody waits for it yet, so that what somebody waits for may overtake it where it
  /// stands in a row. May end while the request is under way.
  default boolean background() {
    return false;
  }

  /// Copies payload of a WRITE to where it is needed: bytes `at` to `at + into.byteSize()` of the
  /// request. Pieces may come in any order, and more than once.
  ///
  /// @throws PayloadException if the bytes cannot be had; the request must then be failed, and what
  ///   `into` holds must not be used. When this escapes from [TargetQueue#submit] before the
  ///   request has ended, the caller fails the request.
  void loadPayload(long at, MemorySegment into);

  /// Which registered buffer of the event loop's ring the payload itself is, from 0, so that an
  /// operation of the ring moves it without a copy; [#NO_BUFFER] if it can only be copied.
  ///
  /// Byte 0 of the buffer is byte 0 of the request. A target that has filled it for a READ stores
  /// nothing; copying works as well as ever. Every operation on the buffer has ended before the
  /// request does. Requests of decorators have none, since what they see of the payload are copies.
  default int payloadBuffer() {
    return NO_BUFFER;
  }

  /// Copies payload of a READ to the requester: bytes `at` to `at + from.byteSize()` of the
  /// request. Pieces may come in any order, and more than once. Never throws: a copy that goes
  /// wrong makes the later [#complete] a failure.
  void storePayload(long at, MemorySegment from);

  /// Ends the request with success: all of its bytes are done.
  void complete();

  /// Ends the request with an error. `cause`, where known, is for the log.
  void fail(IoError error, @Nullable Throwable cause);

  /// Ends the request when `stage` does: for clients that answer with futures. The stage must come
  /// back to the queue's event loop by itself (`thenApplyAsync(..., eventLoop)`).
  default void completeWith(CompletionStage<?> stage) {
    stage.whenComplete((_, failure) -> {
      if (failure == null) {
        complete();
      } else {
        fail(IoError.IO, failure);
      }
    });
  }
}
