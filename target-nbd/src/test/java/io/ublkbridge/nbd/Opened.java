package io.ublkbridge.nbd;

import io.netty.channel.IoEventLoop;
import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.SuccessionFile;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetQueue;
import io.ublkbridge.target.TargetUri;
import io.ublkbridge.target.UringLoops;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// A target opened as a device would open it: loops, target, and as many queues as it can use.
final class Opened implements AutoCloseable {
  private final UringLoops loops;
  private final List<IoEventLoop> eventLoops = new ArrayList<>();
  private final List<TargetQueue> queues = new ArrayList<>();
  private final BlockTarget target;

  private Opened(
      String uri,
      int queueCount,
      Duration timeout,
      Map<String, String> options,
      Optional<SuccessionFile> file)
      throws TargetOpenException {
    loops = new UringLoops(queueCount);
    boolean opened = false;
    try {
      for (int i = 0; i < queueCount; i++) {
        eventLoops.add(loops.next());
      }
      target =
          new NbdTargetProvider()
              .open(
                  TargetUri.parse(uri),
                  new OpenContext(eventLoops.getFirst(), false, timeout, options));
      for (int i = 0; i < queueCount; i++) {
        queues.add(
            target.openQueue(
                new QueueContext(i, queueCount, 64, 1 << 20, eventLoops.get(i), file)));
      }
      opened = true;
    } finally {
      if (!opened) {
        loops.close();
      }
    }
  }

  static Opened at(String uri) throws TargetOpenException {
    return at(uri, 1, Map.of());
  }

  static Opened at(String uri, int queueCount, Map<String, String> options)
      throws TargetOpenException {
    return new Opened(uri, queueCount, Duration.ofSeconds(10), options, Optional.empty());
  }

  /// As a device opens it whose server may be succeeded by another.
  static Opened lasting(
      String uri, int queueCount, Map<String, String> options, SuccessionFile file)
      throws TargetOpenException {
    return new Opened(uri, queueCount, Duration.ofSeconds(10), options, Optional.of(file));
  }

  /// With one queue, and little time for each connection.
  static Opened within(String uri, Duration timeout) throws TargetOpenException {
    return new Opened(uri, 1, timeout, Map.of(), Optional.empty());
  }

  BlockTarget target() {
    return target;
  }

  TargetQueue queue() {
    return queues.getFirst();
  }

  void submit(BlockRequest... requests) {
    submitTo(0, requests);
  }

  void submitTo(int queue, BlockRequest... requests) {
    UringLoops.submit(eventLoops.get(queue), queues.get(queue), requests);
  }

  /// Ends as a process that is killed: nobody takes leave of anybody.
  void kill() {
    loops.close();
  }

  @Override
  public void close() {
    queues.forEach(TargetQueue::close);
    target.close();
    loops.close();
  }
}
