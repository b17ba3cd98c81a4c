package io.ublkbridge.queue;

import java.lang.foreign.MemorySegment;

/// The kernel's side of one queue: [IoUringDriver] on a real device, a simulated one in tests.
///
/// Confined to the queue's event loop.
public interface UblkDriver {
  /// How many tags the queue has.
  int depth();

  /// What the clock of the queue's event loop says, in nanoseconds since whenever.
  long nanoTime();

  /// The io descriptors of all tags, as `IoDescriptor` reads them.
  MemorySegment descriptors();

  /// Hands a tag to the kernel for the first time. Its completion comes to
  /// [UblkQueue#onCompletion].
  void fetch(int tag);

  /// Ends the tag's request and hands the tag back; its next completion is the next request. The
  /// tag's descriptor and payload must not be touched afterwards.
  ///
  /// @param result all bytes of the request, 0 for one without payload, or a negative error number
  void commitAndFetch(int tag, int result);

  /// Which registered buffer of the event loop's ring the payload of this tag's requests becomes,
  /// or [io.ublkbridge.target.BlockRequest#NO_BUFFER].
  int payloadBuffer(int tag);

  /// Copies payload of the tag's WRITE to `into`, from byte `at` of the request.
  ///
  /// @return whether all of it was copied
  boolean load(int tag, long at, MemorySegment into);

  /// Copies payload of the tag's READ from `from`, to byte `at` of the request.
  ///
  /// @return whether all of it was copied
  boolean store(int tag, long at, MemorySegment from);
}
