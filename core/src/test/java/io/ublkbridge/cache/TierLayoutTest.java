package io.ublkbridge.cache;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class TierLayoutTest {
  @ParameterizedTest
  @ValueSource(ints = {512, 4096, 6000, 65536, 1 << 20})
  void aFileThatEndsBehindASlotHasSoManySlots(int blockBytes) {
    TierLayout layout = new TierLayout(blockBytes);
    for (int slots : new int[] {0, 1, 2, 1023, 1024, 1025, 5000}) {
      long bytes = layout.fileBytes(slots);
      assertEquals(slots, layout.slotCount(bytes, Integer.MAX_VALUE));
      assertEquals(slots, layout.slotCount(bytes + layout.slotBytes() - 1, Integer.MAX_VALUE));
      assertEquals(Math.max(0, slots - 1), layout.slotCount(bytes - 1, Integer.MAX_VALUE));
    }
  }

  @Test
  void aFileHasNoMoreSlotsThanItMay() {
    TierLayout layout = new TierLayout(65536);
    assertEquals(7, layout.slotCount(layout.fileBytes(5000), 7));
    assertEquals(0, layout.slotCount(0, 7));
  }

  @Test
  void nothingOverlaps() {
    TierLayout layout = new TierLayout(4096);
    long end = TierLayout.PAGE_BYTES;
    for (int slot = 0; slot < 3 * TierLayout.SLOTS_PER_GROUP; slot++) {
      if (slot % TierLayout.SLOTS_PER_GROUP == 0) {
        for (int page = 0; page < TierLayout.PAGES_PER_GROUP; page++) {
          assertEquals(end, layout.pagePosition(TierLayout.pageOf(slot) + page));
          end += TierLayout.PAGE_BYTES;
        }
      }
      assertEquals(end, layout.slotPosition(slot));
      assertTrue(layout.pagePosition(TierLayout.pageOf(slot)) < end);
      end += layout.slotBytes();
    }
  }

  @Test
  void largeFilesDoNotOverflow() {
    TierLayout layout = new TierLayout(1 << 20);
    int slots = SlotTable.SLOTS_MAX;
    assertTrue(layout.fileBytes(slots) > (long) slots << 20);
    assertEquals(slots, layout.slotCount(layout.fileBytes(slots), Integer.MAX_VALUE));
  }
}
