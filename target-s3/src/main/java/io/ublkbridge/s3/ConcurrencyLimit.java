package io.ublkbridge.s3;

/// How many requests may be under way at once: all that are allowed while the store keeps up, fewer
/// while it does not. More of them would only be late together, and what is given up half done is
/// brought again. Confined to the event loop.
///
/// As TCP has it: up by a step for each success, down by a part when an answer is overdue.
final class ConcurrencyLimit {
  /// One dead connection among few is no reason to wait in a row.
  static final int MIN = 4;

  private static final double STEP = 0.5;
  private static final double KEPT = 0.7;

  private final int max;
  private double current;
  private boolean reduced;
  private long reducedNanos;

  ConcurrencyLimit(int max) {
    this.max = max;
    this.current = max;
  }

  int now() {
    return (int) current;
  }

  /// Whether the store has not kept up lately.
  boolean lowered() {
    return current < max;
  }

  void succeeded() {
    current = Math.min(max, current + STEP);
  }

  /// An answer is overdue. What was sent before the last reduction says nothing about the time
  /// since. A store that asks for less by 503 gets less by the backoff of those it turned away:
  /// that is no reason for the others to wait in a row behind a slow one.
  ///
  /// @param sentNanos when it was asked for
  /// @param underWay how many were
  void overloaded(long sentNanos, int underWay, long nowNanos) {
    if (reduced && sentNanos - reducedNanos < 0) {
      return;
    }
    reduced = true;
    reducedNanos = nowNanos;
    current = Math.max(Math.min(MIN, max), KEPT * Math.min(current, underWay));
  }
}
