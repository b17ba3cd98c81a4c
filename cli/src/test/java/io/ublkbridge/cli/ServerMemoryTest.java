package io.ublkbridge.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Map;
import org.junit.jupiter.api.Test;

final class ServerMemoryTest {
  @Test
  void usualCacheNeedsNoMore() {
    assertEquals(new ServerMemory(64, 4096), ServerMemory.of(Map.of()));
    assertEquals(new ServerMemory(64, 4096), ServerMemory.of(Map.of("cache", "off")));
    assertEquals(new ServerMemory(64, 4096 + 256), ServerMemory.of(Map.of("cache", "256M")));
  }

  @Test
  void heapFollowsTheNumberOfBlocks() {
    assertEquals(
        new ServerMemory(64 + 640, 4096 + (64 << 10)), ServerMemory.of(Map.of("cache", "64G")));
    assertEquals(
        new ServerMemory(64, 4096 + (64 << 10)),
        ServerMemory.of(Map.of("cache", "64G", "cache-block", "1M")));
  }
}
