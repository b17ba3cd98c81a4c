package io.ublkbridge.target;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class DurationsTest {
  @Test
  void everyUnitIsRead() {
    assertEquals(Duration.ofMillis(500), Durations.parse("500ms"));
    assertEquals(Duration.ofSeconds(90), Durations.parse("90s"));
    assertEquals(Duration.ofMinutes(10), Durations.parse("10M"));
    assertEquals(Duration.ofHours(1), Durations.parse("1h"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "10", "s", "-1s", "1d", "1.5s", "1 s", "99999999999s"})
  void anythingElseIsRefused(String text) {
    assertThrows(IllegalArgumentException.class, () -> Durations.parse(text));
  }

  @Test
  void durationsPrintInTheirLargestExactUnit() {
    assertEquals("0s", Durations.format(Duration.ZERO));
    assertEquals("1500ms", Durations.format(Duration.ofMillis(1500)));
    assertEquals("90s", Durations.format(Duration.ofSeconds(90)));
    assertEquals("10m", Durations.format(Duration.ofMinutes(10)));
    assertEquals("2h", Durations.format(Duration.ofHours(2)));
  }
}
