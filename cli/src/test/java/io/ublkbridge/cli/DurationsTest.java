package io.ublkbridge.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DurationsTest {
  @Test
  void takeFourUnits() {
    assertEquals(Duration.ofMillis(500), Durations.parse("500ms"));
    assertEquals(Duration.ofSeconds(90), Durations.parse("90s"));
    assertEquals(Duration.ofMinutes(10), Durations.parse("10m"));
    assertEquals(Duration.ofHours(1), Durations.parse("1h"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "90", "s", "1.5s", "-1s", "1d", "1 s", "9999999999s"})
  void rejectWhatIsNoDuration(String text) {
    assertThrows(IllegalArgumentException.class, () -> Durations.parse(text));
  }

  @Test
  void areWrittenAsTheyAreRead() {
    for (String text : new String[] {"500ms", "0s", "89s", "10m", "2h"}) {
      assertEquals(text, Durations.format(Durations.parse(text)));
    }
    assertEquals("1m", Durations.format(Durations.parse("60s")));
  }
}
