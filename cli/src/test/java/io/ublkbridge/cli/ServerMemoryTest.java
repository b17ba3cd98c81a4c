package io.ublkbridge.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Map;
import org.junit.jupiter.api.Test;

final class ServerMemoryTest {
  @Test
  void usualCacheNeedsNoMore() {
    assertEquals(new ServerMemory(64, 4096), ServerMemory.of("nbd://host/x", Map.of()));
    assertEquals(
        new ServerMemory(64, 4096), ServerMemory.of("nbd://host/x", Map.of("cache", "off")));
    assertEquals(
        new ServerMemory(64, 4096 + 256), ServerMemory.of("nbd://host/x", Map.of("cache", "256M")));
  }

  @Test
  void theTargetsOwnCacheIsCounted() {
    ServerMemory usual = new ServerMemory(64, 4096 + 256);
    assertEquals(usual, ServerMemory.of("s3://bucket/disk.img", Map.of()));
    assertEquals(
        new ServerMemory(64, 4096), ServerMemory.of("s3://bucket/x", Map.of("cache", "off")));
  }

  @Test
  void heapFollowsTheNumberOfBlocks() {
    assertEquals(
        new ServerMemory(64 + 640, 4096 + (64 << 10)),
        ServerMemory.of("nbd://host/x", Map.of("cache", "64G")));
    assertEquals(
        new ServerMemory(64, 4096 + (64 << 10)),
        ServerMemory.of("nbd://host/x", Map.of("cache", "64G", "cache-block", "1M")));
  }
}
