package io.ublkbridge.target;

import java.time.Duration;
import java.util.Map;
import java.util.Optional;

/// An opened place that stores blocks: negotiated once, then used through one queue per ublk queue.
///
/// All methods are called from control threads, never from an event loop, and may block within the
/// deadline of the [OpenContext].
public interface BlockTarget extends AutoCloseable {
  Geometry geometry();

  Capabilities capabilities();

  /// What a person wants to know about this target beyond geometry and capabilities: name → value
  /// in the order to print, values being String, Boolean, Long, Integer, or a List or Map of such.
  /// Holds no secret.
  Map<String, Object> details();

  /// Whether the queues make use of [BlockRequest#payloadBuffer], so that the kernel should provide
  /// one with each request where it can. A decorator says no unless it passes requests on as they
  /// are.
  default boolean usesPayloadBuffers() {
    return false;
  }

  /// Opens the lane for one ublk queue.
  ///
  /// @throws TargetOpenException if the queue's own connection or file cannot be had
  TargetQueue openQueue(QueueContext context) throws TargetOpenException;

  /// What names these contents for ever: two targets with the same identity hold the same bytes,
  /// and those never change. Empty where contents may change. Holds no secret.
  default Optional<String> contentIdentity() {
    return Optional.empty();
  }

  /// How another process may go on with this disk when the one that serves it has died, its I/O
  /// still waiting and part of it sent a second time. Empty where a disk must end with its server,
  /// because something that was acknowledged ends with it.
  default Optional<Succession> succession() {
    return Optional.empty();
  }

  /// What the target waits for now, if it does. Unlike the rest this may be asked at any time.
  default Optional<Outage> outage() {
    return Optional.empty();
  }

  /// How long the target is at this moment, in bytes: whole blocks. What [#geometry] says stays
  /// until [#resize]. May block.
  ///
  /// @throws TargetOpenException if the size cannot change, or cannot be found out
  default long presentSize(Duration timeout) throws TargetOpenException {
    throw new TargetOpenException(
        TargetOpenException.Reason.FAILED,
        "a disk of this kind keeps the size that it was attached with",
        null);
  }

  /// Has this size from now on, which [#presentSize] has told. Called when no request is under way,
  /// or in an outage that the other size is the reason for, which then ends.
  default void resize(long sizeBytes) {
    throw new IllegalStateException("no other size is known");
  }

  /// The device is about to be stopped: a request that waits for something lost should fail within
  /// a few seconds from now on, however long it would have waited else.
  default void stopping() {}

  /// Frees everything; every queue was closed before. Idempotent.
  @Override
  void close();
}
