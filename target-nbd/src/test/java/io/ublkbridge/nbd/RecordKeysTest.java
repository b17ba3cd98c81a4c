package io.ublkbridge.nbd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HexFormat;
import org.junit.jupiter.api.Test;

/// The kernel is given the right keys: shown with the session of RFC 8448, section 3.
final class RecordKeysTest {
  private static final String SERVER_SECRET =
      "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643";
  private static final String CLIENT_SECRET =
      "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5";

  private static TrafficSecret secret(String hexadecimal) {
    return TrafficSecret.of(HexFormat.of().parseHex(hexadecimal), "SHA256");
  }

  private static String hexadecimal(MemorySegment bytes) {
    return HexFormat.of().formatHex(bytes.toArray(ValueLayout.JAVA_BYTE));
  }

  @Test
  void keysAreThoseOfTheStandardsExample() throws Exception {
    try (Arena arena = Arena.ofConfined();
        RecordKeys keys =
            RecordKeys.derive(
                "TLS_AES_128_GCM_SHA256", secret(SERVER_SECRET), secret(CLIENT_SECRET))) {
      // Version and cipher, IV less its first four bytes, key, those four bytes, first record.
      assertEquals(
          "04033300"
              + "dd83549aadf1e984"
              + "9f02283b6c9c07efc26bb9f2ac92e356"
              + "cf782b88"
              + "0000000000000000",
          hexadecimal(keys.receiving(arena)));
      assertEquals(
          "04033300"
              + "ee08579033e523d9"
              + "17422dda596ed5d9acd890e3c63f5051"
              + "5b78923d"
              + "0000000000000000",
          hexadecimal(keys.sending(arena)));
    }
  }

  @Test
  void everySuiteHasTheSizeOfItsStruct() throws Exception {
    try (Arena arena = Arena.ofConfined()) {
      assertEquals(40, bytes(arena, "TLS_AES_128_GCM_SHA256", SERVER_SECRET));
      assertEquals(
          56, bytes(arena, "TLS_AES_256_GCM_SHA384", SERVER_SECRET + SERVER_SECRET.substring(32)));
      assertEquals(56, bytes(arena, "TLS_CHACHA20_POLY1305_SHA256", SERVER_SECRET));
    }
  }

  private long bytes(Arena arena, String suite, String secret) throws Exception {
    try (RecordKeys keys = RecordKeys.derive(suite, secret(secret), secret(secret))) {
      return keys.sending(arena).byteSize();
    }
  }

  @Test
  void keysAreForgotten() throws Exception {
    try (Arena arena = Arena.ofConfined()) {
      RecordKeys keys =
          RecordKeys.derive("TLS_AES_128_GCM_SHA256", secret(SERVER_SECRET), secret(CLIENT_SECRET));
      keys.close();
      assertEquals("04033300" + "00".repeat(36), hexadecimal(keys.receiving(arena)));
    }
  }

  @Test
  void onlySuitesOfTls13AreKnown() {
    assertTrue(RecordKeys.known("TLS_CHACHA20_POLY1305_SHA256"));
    assertFalse(RecordKeys.known("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"));
  }
}
