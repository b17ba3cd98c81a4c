package io.ublkbridge.s3;

import io.netty.channel.IoEventLoop;
import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetQueue;
import io.ublkbridge.target.TargetUri;
import io.ublkbridge.target.UringLoops;
import java.time.Duration;
import java.util.Map;
import java.util.Objects;

/// An image opened as a device would open it, with one queue.
final class OpenedImage implements AutoCloseable {
  private final UringLoops loops = new UringLoops(1);
  private final IoEventLoop loop = loops.next();
  private final BlockTarget target;
  private final TargetQueue queue;

  private OpenedImage(String uri, Duration timeout, Map<String, String> options)
      throws TargetOpenException {
    boolean opened = false;
    try {
      target =
          new S3TargetProvider()
              .open(TargetUri.parse(uri), new OpenContext(loop, true, timeout, options));
      queue = target.openQueue(new QueueContext(0, 1, 64, 1 << 20, loop));
      opened = true;
    } finally {
      if (!opened) {
        loops.close();
      }
    }
  }

  static OpenedImage at(String uri, Map<String, String> options) throws TargetOpenException {
    return new OpenedImage(uri, Duration.ofSeconds(60), options);
  }

  static OpenedImage within(Duration timeout, String uri, Map<String, String> options)
      throws TargetOpenException {
    return new OpenedImage(uri, timeout, options);
  }

  BlockTarget target() {
    return target;
  }

  IoEventLoop loop() {
    return loop;
  }

  long detail(String name) {
    return (Long) Objects.requireNonNull(target.details().get(name));
  }

  void submit(BlockRequest... requests) {
    UringLoops.submit(loop, queue, requests);
  }

  @Override
  public void close() {
    queue.close();
    target.close();
    loops.close();
  }
}
