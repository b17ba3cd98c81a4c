package io.ublkbridge.nbd;

import java.util.ArrayList;
import java.util.List;

/// One queue as the [Reconnector] sees it, on whose loop alone it is used.
final class Lane {
  final NbdQueue queue;
  final List<NbdConnection> live = new ArrayList<>();
  int missing;

  /// Counts how often the last connection was lost, so that a timer knows which loss it is for.
  int losses;

  /// Since when the queue's requests wait.
  long lostSinceNanos;

  Lane(NbdQueue queue) {
    this.queue = queue;
  }
}
