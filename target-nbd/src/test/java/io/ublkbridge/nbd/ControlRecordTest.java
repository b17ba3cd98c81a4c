package io.ublkbridge.nbd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.kernel.KernelTls;
import java.lang.foreign.MemorySegment;
import java.util.HexFormat;
import javax.net.ssl.SSLException;
import org.junit.jupiter.api.Test;

/// What a server says about the session while the kernel opens its records.
final class ControlRecordTest {
  private static boolean goesOn(int type, String hexadecimal) throws SSLException {
    return ControlRecord.goesOn(type, MemorySegment.ofArray(HexFormat.of().parseHex(hexadecimal)));
  }

  private static String failure(int type, String hexadecimal) {
    return String.valueOf(
        assertThrows(SSLException.class, () -> goesOn(type, hexadecimal)).getMessage());
  }

  @Test
  void ticketsDoNotMatter() throws Exception {
    assertTrue(goesOn(KernelTls.HANDSHAKE, "0400000201020400000103"));
  }

  @Test
  void newKeysTakeANewConnection() {
    assertEquals(
        "the server changes its keys, which takes a new connection",
        failure(KernelTls.HANDSHAKE, "040000020102" + "1800000100"));
  }

  @Test
  void whatElseComesAfterTheHandshakeIsNamed() {
    assertEquals(
        "the server sent certificate_request(13) after the handshake",
        failure(KernelTls.HANDSHAKE, "0d000000"));
  }

  @Test
  void theServerTakesLeave() throws Exception {
    assertFalse(goesOn(KernelTls.ALERT, "0100"));
  }

  @Test
  void anAlertIsUnderstoodAsOneOfTheHandshake() {
    SSLException refused = assertThrows(SSLException.class, () -> goesOn(KernelTls.ALERT, "0274"));
    assertEquals("certificate_required", TlsFailure.alert(refused));
  }

  @Test
  void anAlertOfTheWrongLengthIsAnError() {
    assertEquals("Received fatal alert: decode_error", failure(KernelTls.ALERT, "02"));
  }

  @Test
  void anotherTypeIsAnError() {
    assertEquals("the server sent a record of type 99", failure(99, ""));
  }
}
