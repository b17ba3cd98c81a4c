package io.ublkbridge.nbd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

/// What a server says never harms a log or a terminal, and never floods it.
final class ServerWordsTest {
  @Test
  void controlCharactersAreRemoved() {
    assertEquals(
        "a b c[31m d", ServerText.clean("a\nb\u0007c\u001b[31m\u2028d".replace("\u001b", "")));
    assertEquals("a [31m b", ServerText.clean(" a\u001b[31m\u202eb\n"));
    assertEquals("Größe 😀", ServerText.clean("Größe 😀"));
  }

  @Test
  void lengthIsBounded() {
    String cleaned = ServerText.clean("x".repeat(10_000));
    assertEquals(ServerText.LENGTH_MAX + 1, cleaned.length());
    assertTrue(cleaned.endsWith("…"));
  }

  @Test
  void anErrorIsReportedOncePerCommandAndNumber() {
    ServerErrors errors = new ServerErrors("test");
    assertTrue(errors.report(NbdProtocol.NBD_CMD_READ, 5, "one"));
    assertFalse(errors.report(NbdProtocol.NBD_CMD_READ, 5, "two"));
    assertTrue(errors.report(NbdProtocol.NBD_CMD_WRITE, 5, ""));
    assertTrue(errors.report(NbdProtocol.NBD_CMD_READ, 28, ""));
  }

  @Test
  void inventedErrorsDoNotFloodTheLog() {
    ServerErrors errors = new ServerErrors("test");
    int told = 0;
    for (int errno = 1000; errno < 2000; errno++) {
      told += errors.report(NbdProtocol.NBD_CMD_READ, errno, "") ? 1 : 0;
    }
    assertEquals(64, told);
  }
}
