package io.ublkbridge.target;

import io.netty.channel.IoEventLoop;

/// What a [TargetQueue] is given.
///
/// @param index which of the device's queues, from 0
/// @param count how many queues the device has
/// @param depth the most requests under way at once in this queue
/// @param maxIoBytes the longest payload of one request
/// @param eventLoop the io_uring loop that everything of this queue runs on
public record QueueContext(
    int index, int count, int depth, int maxIoBytes, IoEventLoop eventLoop) {}
