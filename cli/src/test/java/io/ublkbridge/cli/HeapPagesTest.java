package io.ublkbridge.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Optional;
import org.junit.jupiter.api.Test;

final class HeapPagesTest {
  private static final long MIB = 1 << 20;

  private static final String MAPS =
      """
      00400000-00401000 r-xp 00000000 08:01 1234                               /opt/jdk/bin/java
      7d000000-7f000000 rw-p 00001000 08:01 1235                               /opt/lib/classes.jsa
      fc000000-100000000 rw-p 00000000 00:00 0\s
      7f0000000000-7f0004000000 ---p 00000000 00:00 0\s
      7f0010000000-7f0014000000 r-xp 00000000 00:00 0\s
      7f0020000000-7f0040000000 rw-p 00000000 00:00 0\s
      7f0050000000-7f0050100000 rw-p 00000000 00:00 0                          [stack]
      """;

  @Test
  void theHeapIsTheOneMappingOfItsSize() {
    assertEquals(
        Optional.of(new HeapPages.Mapping(0xfc000000L, 64 * MIB)), HeapPages.find(MAPS, 62 * MIB));
    assertEquals(
        Optional.of(new HeapPages.Mapping(0x7f0020000000L, 512 * MIB)),
        HeapPages.find(MAPS, 500 * MIB));
  }

  @Test
  void whatIsTooSmallOrTooLargeIsNotTheHeap() {
    assertEquals(Optional.empty(), HeapPages.find(MAPS, 65 * MIB));
    assertEquals(Optional.empty(), HeapPages.find(MAPS, 16 * MIB));
  }
}
