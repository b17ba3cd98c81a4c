package io.ublkbridge.target;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.ublkbridge.target.TargetOpenException.Reason;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class TargetUriTest {
  @Test
  void schemeIsSplitOffAndLowered() throws Exception {
    TargetUri uri = TargetUri.parse("NBD://host:10809/export");
    assertEquals("nbd", uri.scheme());
    assertEquals("//host:10809/export", uri.rest());
    assertEquals("nbd://host:10809/export", uri.toString());
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "disk.img", "/dev/sda", ":x", "1nbd://h"})
  void textWithoutSchemeIsRefused(String text) {
    TargetOpenException refused =
        assertThrows(TargetOpenException.class, () -> TargetUri.parse(text));
    assertEquals(Reason.INVALID, refused.reason());
  }

  @Test
  void passwordIsRefusedAndNotRepeated() {
    TargetOpenException refused =
        assertThrows(
            TargetOpenException.class, () -> TargetUri.parse("nbd://alice:hunter2@host/x"));
    assertFalse(refused.toString().contains("hunter2"));
  }
}
