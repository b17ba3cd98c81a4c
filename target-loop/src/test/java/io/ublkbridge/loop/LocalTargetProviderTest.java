package io.ublkbridge.loop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import io.ublkbridge.target.TargetProvider;
import io.ublkbridge.target.TargetUri;
import io.ublkbridge.target.UringLoops;
import java.util.Map;
import java.util.ServiceLoader;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class LocalTargetProviderTest {
  @AutoClose private final UringLoops loops = new UringLoops(1);

  @Test
  void isFoundByItsSchemes() throws Exception {
    TargetProvider provider = ServiceLoader.load(TargetProvider.class).findFirst().orElseThrow();

    assertTrue(provider.schemes().contains("null"));
    assertTrue(provider.schemes().contains("memory"));
    try (BlockTarget target = open("memory:3M")) {
      assertEquals(3 << 20, target.geometry().sizeBytes());
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '"',
      textBlock =
          """
          null:            | '' is not a size
          memory:lots      | 'lots' is not a size
          memory:-1G       | '-1G' is not a size
          null:0           | a disk of size 0
          memory:1000      | 1000 bytes is not a multiple of 512
          memory:1025P     | '1025P' is larger than 1P
          null:99999999P   | '99999999P' is too large
          """)
  void refusesASizeThatCannotBe(String uri, String message) {
    TargetOpenException refusal = assertThrows(TargetOpenException.class, () -> open(uri));

    assertEquals(Reason.INVALID, refusal.reason());
    assertTrue(String.valueOf(refusal.getMessage()).contains(message), refusal::getMessage);
    assertTrue(String.valueOf(refusal.remedy()).contains(":1G"), refusal::remedy);
  }

  private BlockTarget open(String uri) throws TargetOpenException {
    return new LocalTargetProvider().open(TargetUri.parse(uri), loops.openContext(Map.of()));
  }
}
