package io.ublkbridge.overlay;

import org.jspecify.annotations.Nullable;

/// Lets at most one request change a block at a time, so that two that change parts of it do not
/// lose each other's; the others wait in the order in which they came.
///
/// Confined to the queue's event loop. READs need no claim: what they may see of a change under way
/// is up to the disk.
final class Claims {
  private final OverlaySlot[] active;
  private final OverlaySlot[] waiting;
  private int activeCount;
  private int waitingCount;

  Claims(int depth) {
    active = new OverlaySlot[depth];
    waiting = new OverlaySlot[depth];
  }

  /// Takes the slot's blocks, or waits for them.
  ///
  /// @return whether they are the slot's now; otherwise [#next] will return it
  boolean claim(OverlaySlot slot) {
    if (overlapsAny(active, activeCount, slot) || overlapsAny(waiting, waitingCount, slot)) {
      waiting[waitingCount++] = slot;
      return false;
    }
    active[activeCount++] = slot;
    return true;
  }

  boolean holds(OverlaySlot slot) {
    for (int i = 0; i < activeCount; i++) {
      if (active[i] == slot) {
        return true;
      }
    }
    return false;
  }

  void release(OverlaySlot slot) {
    for (int i = 0; i < activeCount; i++) {
      if (active[i] == slot) {
        active[i] = active[--activeCount];
        return;
      }
    }
    throw new IllegalStateException("nothing was claimed");
  }

  /// A slot that waited and has its blocks now, or null.
  @Nullable OverlaySlot next() {
    for (int i = 0; i < waitingCount; i++) {
      OverlaySlot slot = waiting[i];
      if (!overlapsAny(active, activeCount, slot) && !overlapsAny(waiting, i, slot)) {
        waitingCount--;
        System.arraycopy(waiting, i + 1, waiting, i, waitingCount - i);
        active[activeCount++] = slot;
        return slot;
      }
    }
    return null;
  }

  private static boolean overlapsAny(OverlaySlot[] slots, int count, OverlaySlot slot) {
    for (int i = 0; i < count; i++) {
      if (slots[i].overlaps(slot)) {
        return true;
      }
    }
    return false;
  }
}
