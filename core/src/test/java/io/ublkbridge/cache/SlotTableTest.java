package io.ublkbridge.cache;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Test;

final class SlotTableTest {
  @AutoClose private final Arena arena = Arena.ofConfined();

  @Test
  void theLowestSlotsAreFilledFirst() {
    SlotTable table = table(4);
    for (int i = 0; i < 4; i++) {
      assertEquals(i, fill(table, 100 + i));
    }
  }

  @Test
  void whatWasReadOutlivesWhatWasNot() {
    SlotTable table = table(4);
    for (int i = 0; i < 4; i++) {
      fill(table, i);
    }
    for (int i = 0; i < 3; i++) {
      int slot = table.find(i);
      assertTrue(table.pin(slot));
      table.unpin(slot);
    }

    fill(table, 9);

    assertEquals(SlotTable.NONE, table.find(3));
    for (int i = 0; i < 3; i++) {
      assertNotEquals(SlotTable.NONE, table.find(i));
    }
  }

  @Test
  void aSlotThatIsReadOrWrittenIsNotTaken() {
    SlotTable table = table(2);
    int read = fill(table, 1);
    assertTrue(table.pin(read));
    int written = table.take(2);

    assertEquals(SlotTable.NONE, table.take(3));

    table.unpin(read);
    assertEquals(read, table.take(3));
    table.publish(written, 0);
    assertTrue(table.valid(written));
  }

  @Test
  void aDroppedSlotIsFreeOnceItsLastReaderLeaves() {
    SlotTable table = table(1);
    int slot = fill(table, 1);
    assertTrue(table.pin(slot));
    assertTrue(table.pin(slot));
    table.drop(slot);

    assertEquals(SlotTable.NONE, table.find(1));
    assertEquals(SlotTable.NONE, table.take(2));
    table.unpin(slot);
    assertEquals(SlotTable.NONE, table.take(2));
    table.unpin(slot);
    assertEquals(slot, table.take(2));
  }

  @Test
  void aSweepEndsWhereEveryoneWasReadLately() {
    SlotTable table = table(10_000);
    for (int i = 0; i < 10_000; i++) {
      int slot = fill(table, i);
      table.pin(slot);
      table.unpin(slot);
    }

    assertNotEquals(SlotTable.NONE, table.take(10_000));
    assertEquals(9_999, table.validCount());
  }

  @Test
  void nothingIsReadWhileItIsWritten() {
    SlotTable table = table(1);
    int slot = table.take(1);
    assertEquals(slot, table.find(1));
    assertFalse(table.pin(slot));
  }

  @Test
  void holdsWhatAMapHolds() {
    for (long seed = 0; seed < 300; seed++) {
      try {
        compareWithMap(new SplittableRandom(seed));
      } catch (RuntimeException | Error e) {
        throw new AssertionError("seed " + seed, e);
      }
    }
  }

  private void compareWithMap(SplittableRandom random) {
    int slotsMax = 1 + random.nextInt(40);
    SlotTable table = table(slotsMax);
    Map<Long, Integer> model = new HashMap<>();
    List<Integer> writing = new ArrayList<>();
    List<Integer> pinned = new ArrayList<>();
    for (int step = 0; step < 1000; step++) {
      long block = random.nextInt(100) * (random.nextBoolean() ? 1L : 1L << 33);
      int found = table.find(block);
      assertEquals(model.getOrDefault(block, SlotTable.NONE), found);
      switch (random.nextInt(5)) {
        case 0, 1 -> {
          if (found == SlotTable.NONE) {
            int slot = table.take(block);
            if (slot != SlotTable.NONE) {
              assertFalse(writing.contains(slot) || pinned.contains(slot), "slot in use");
              model.values().remove(slot);
              model.put(block, slot);
              writing.add(slot);
            }
          }
        }
        case 2 -> {
          if (!writing.isEmpty()) {
            int slot = takeOne(writing, random);
            if (random.nextInt(3) == 0) {
              table.release(slot);
              model.values().remove(slot);
            } else {
              table.publish(slot, slot);
            }
          }
        }
        case 3 -> {
          if (found != SlotTable.NONE && table.pin(found)) {
            assertFalse(writing.contains(found));
            pinned.add(found);
          }
        }
        default -> {
          if (!pinned.isEmpty()) {
            int slot = takeOne(pinned, random);
            if (table.valid(slot) && random.nextInt(3) == 0) {
              table.drop(slot);
              model.values().remove(slot);
            }
            table.unpin(slot);
          }
        }
      }
      assertEquals(model.size() - writing.size(), table.validCount());
    }
  }

  private static int takeOne(List<Integer> slots, SplittableRandom random) {
    int last = slots.removeLast();
    int index = random.nextInt(slots.size() + 1);
    return index == slots.size() ? last : slots.set(index, last);
  }

  private SlotTable table(int slots) {
    SlotTable table = new SlotTable(arena, slots);
    table.grow(slots);
    return table;
  }

  private static int fill(SlotTable table, long block) {
    int slot = table.take(block);
    table.publish(slot, 0);
    return slot;
  }
}
