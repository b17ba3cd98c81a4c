package io.ublkbridge.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

final class ServerMemoryTest {
  @Test
  void usualCacheNeedsNoMore() {
    assertEquals(new ServerMemory(64, 4096), ServerMemory.of("nbd://host/x", Map.of(), 512));
    assertEquals(
        new ServerMemory(64, 4096), ServerMemory.of("nbd://host/x", Map.of("cache", "off"), 512));
    assertEquals(
        new ServerMemory(64, 4096 + 256),
        ServerMemory.of("nbd://host/x", Map.of("cache", "256M"), 512));
  }

  @Test
  void theTargetsOwnCacheIsCounted() {
    ServerMemory usual = new ServerMemory(64, 4096 + 256);
    assertEquals(usual, ServerMemory.of("s3://bucket/disk.img", Map.of(), 512));
    assertEquals(
        new ServerMemory(64, 4096), ServerMemory.of("s3://bucket/x", Map.of("cache", "off"), 512));
  }

  @Test
  void whatIsOnThisMachineTakesLittle() {
    for (String source : List.of("null:1G", "memory:1G", "file:/disk.img")) {
      assertEquals(new ServerMemory(32, 4096), ServerMemory.of(source, Map.of(), 512));
      assertEquals(64, ServerMemory.of(source, Map.of("overlay", "/o"), 512).heap());
      assertEquals(64, ServerMemory.of(source, Map.of("cache", "64M"), 512).heap());
      assertEquals(64, ServerMemory.of(source, Map.of(), 8192).heap());
    }
  }

  @Test
  void heapFollowsTheNumberOfBlocks() {
    assertEquals(
        new ServerMemory(64 + 640, 4096 + (64 << 10)),
        ServerMemory.of("nbd://host/x", Map.of("cache", "64G"), 512));
    assertEquals(
        new ServerMemory(64, 4096 + (64 << 10)),
        ServerMemory.of("nbd://host/x", Map.of("cache", "64G", "cache-block", "1M"), 512));
  }
}
