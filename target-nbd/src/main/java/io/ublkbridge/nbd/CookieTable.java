package io.ublkbridge.nbd;

import io.ublkbridge.target.BlockRequest;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// The requests under way on one connection, found by the cookie that their replies carry.
///
/// ```
/// cookie:  63 ……… generation of the slot ……… 32 | 31 ……… slot ……… 0
/// ```
///
/// A cookie is good from [#start] to [#end] and never again (until a slot was used 2^32 times):
/// neither a reply that comes twice nor one that was made up can end somebody else's request.
///
/// Grows to [#CAPACITY_MAX] slots and allocates nothing else. Confined to one event loop.
final class CookieTable {
  /// The deepest queue that ublk has.
  static final int CAPACITY_MAX = 4096;

  private PendingCommand[] slots = new PendingCommand[0];

  /// The free slots, the one to use next at the end.
  private int[] free = new int[0];

  private int freeCount;

  /// Takes a slot for a request.
  ///
  /// @return null if there are too many
  @Nullable PendingCommand start(BlockRequest request, int type, int tick) {
    if (freeCount == 0 && !grow()) {
      return null;
    }
    PendingCommand command = slots[free[--freeCount]];
    command.start(request, type, tick);
    return command;
  }

  /// Forgets a request, and returns it so that it can be ended.
  BlockRequest end(PendingCommand command) {
    free[freeCount++] = command.slot();
    return command.end();
  }

  /// Finds the request that a reply is for.
  ///
  /// @return null if none under way has this cookie
  @Nullable PendingCommand find(long cookie) {
    int slot = (int) cookie;
    if (slot < 0 || slot >= slots.length) {
      return null;
    }
    PendingCommand command = slots[slot];
    return command.cookie() == cookie && command.inUse() ? command : null;
  }

  int inFlight() {
    return slots.length - freeCount;
  }

  /// The requests under way, in no order.
  List<PendingCommand> underWay() {
    return Arrays.stream(slots).filter(PendingCommand::inUse).toList();
  }

  /// How many ticks ago the oldest request began; 0 if there is none.
  int oldestAge(int tick) {
    int age = 0;
    for (PendingCommand command : slots) {
      if (command.inUse()) {
        age = Math.max(age, tick - command.startedTick());
      }
    }
    return age;
  }

  private boolean grow() {
    int capacity = slots.length;
    if (capacity == CAPACITY_MAX) {
      return false;
    }
    int grown = Math.max(64, 2 * capacity);
    slots = Arrays.copyOf(slots, grown);
    free = new int[grown];
    for (int slot = grown - 1; slot >= capacity; slot--) {
      slots[slot] = new PendingCommand(slot);
      free[freeCount++] = slot;
    }
    return true;
  }
}
