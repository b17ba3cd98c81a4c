package io.ublkbridge.s3;

import java.util.ArrayDeque;

/// How many bytes may be under way at once; who wants more waits in a row. Confined to the event
/// loop.
///
/// What is longer than the budget is let through once nothing else is under way.
final class ByteBudget {
  /// Somebody who needs memory.
  interface Taker {
    long lengthBytes();

    /// It is there now, until [ByteBudget#giveBack].
    void granted();
  }

  private final long budgetBytes;
  private final ArrayDeque<Taker> waiting = new ArrayDeque<>();
  private long takenBytes;
  private boolean granting;

  ByteBudget(long budgetBytes) {
    this.budgetBytes = budgetBytes;
  }

  void take(Taker taker) {
    waiting.add(taker);
    grant();
  }

  void giveBack(long lengthBytes) {
    takenBytes -= lengthBytes;
    grant();
  }

  /// One at a time: whoever is granted may give back at once.
  private void grant() {
    if (granting) {
      return;
    }
    granting = true;
    try {
      while (!waiting.isEmpty() && fits(waiting.getFirst())) {
        Taker next = waiting.removeFirst();
        takenBytes += next.lengthBytes();
        next.granted();
      }
    } finally {
      granting = false;
    }
  }

  private boolean fits(Taker taker) {
    return takenBytes == 0 || takenBytes + taker.lengthBytes() <= budgetBytes;
  }
}
