package io.ublkbridge.target;

import io.netty.channel.IoEventLoop;
import java.util.Optional;

/// What a [TargetQueue] is given.
///
/// @param index which of the device's queues, from 0
/// @param count how many queues the device has
/// @param depth the most requests under way at once in this queue
/// @param maxIoBytes the longest payload of one request
/// @param eventLoop the io_uring loop that everything of this queue runs on
/// @param successionFile of the device, the same for all of its queues; empty if nobody will take
///   the disk over
public record QueueContext(
    int index,
    int count,
    int depth,
    int maxIoBytes,
    IoEventLoop eventLoop,
    Optional<SuccessionFile> successionFile) {
  /// A queue of a disk that ends with its process.
  public QueueContext(int index, int count, int depth, int maxIoBytes, IoEventLoop eventLoop) {
    this(index, count, depth, maxIoBytes, eventLoop, Optional.empty());
  }
}
