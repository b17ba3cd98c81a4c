package io.ublkbridge.target;

/// A target's lane for one ublk queue: takes requests on one event loop and ends each exactly once.
///
/// [#submit] is confined to the loop given in [QueueContext]. [#close] is called from a control
/// thread after the last request has ended; it may block.
public interface TargetQueue extends AutoCloseable {
  /// Starts a request. Never blocks. A request that cannot be served is failed, not thrown back;
  /// the only exception that may escape is the [PayloadException] of [BlockRequest#loadPayload].
  /// The request may end before this method returns.
  void submit(BlockRequest request);

  @Override
  void close();
}
