package io.ublkbridge.kernel;

import io.netty.channel.uring.IoUringIoHandle;

/// A handle that is told when a turn of its event loop ends, so that what it submits for many
/// completions enters the kernel at once, and together with the wait for the next.
///
/// Only a loop of [EventLoopTurns] has turns. Confined to the event loop.
public interface TurnHandle extends IoUringIoHandle {
  /// The handle has joined a loop with turns. Called before its registration is known to anyone.
  void joined(EventLoopTurns turns);

  /// The turn ends that was asked for by [EventLoopTurns#endWith]. May submit, and may ask again.
  void turnEnded();

  @Override
  void close();
}
