package io.ublkbridge.nbd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import io.ublkbridge.target.TargetUri;
import io.ublkbridge.target.UringLoops;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// What the URI and the options say together.
final class TlsSettingsTest {
  private static final UringLoops LOOPS = new UringLoops(1);

  @AfterAll
  static void closeLoops() {
    LOOPS.close();
  }

  /// @param options `name=value`, separated by spaces
  private static NbdUri with(String uri, String options) throws TargetOpenException {
    Map<String, String> map = new LinkedHashMap<>();
    for (String option : options.isEmpty() ? new String[0] : options.split(" ", -1)) {
      int equals = option.indexOf('=');
      map.put(option.substring(0, equals), option.substring(equals + 1));
    }
    return NbdUri.parse(TargetUri.parse(uri)).with(LOOPS.openContext(map));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "nbds://h/                              | ''                    | X509 | h",
        "nbds://h/                              | tls-hostname=db1      | X509 | db1",
        "nbds://h/?tls-hostname=db1             | tls-hostname=db1      | X509 | db1",
        "nbds://[fe80::1%25eth0]/               | ''                    | X509 | fe80::1",
        "nbds://h/?tls-certificates=/c&tls-type=x509 | ''               | X509 | h",
        "nbds://h/                              | tls-psk-file=/k       | PSK  | h",
        "nbds://alice@h/                        | tls-psk-file=/k       | PSK  | h",
        "nbds://alice@h/?tls-type=psk           | tls-psk-file=/k       | PSK  | h",
        "nbds+unix:///?socket=/s                | tls-hostname=db1      | X509 | db1",
        "nbds+unix:///?socket=/s                | tls-psk-file=/k       | PSK  | ''",
        "nbds+unix:///?socket=/s&tls-verify-peer=0 | ''                 | X509 | ''",
      })
  void fitTogether(String uri, String options, TlsSettings.Mode mode, String peer)
      throws Exception {
    NbdUri whole = with(uri, options);
    TlsSettings settings = whole.tls().orElseThrow();
    assertEquals(mode, settings.mode());
    assertEquals(peer, settings.peerName(whole.endpoint()).orElse(""));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '"',
      value = {
        "nbd://h/                     | tls-certificates=/c  | --tls-certificates is about TLS",
        "nbd+unix:///?socket=/s       | tls-psk-file=/k      | --tls-psk-file is about TLS",
        "nbd://h/                     | tls-hostname=h       | --tls-hostname is about TLS",
        "nbds://h/?tls-hostname=a     | tls-hostname=b       | are not the same",
        "nbds://h/?tls-psk-file=/a    | tls-psk-file=/b      | are not the same",
        "nbds://h/?tls-certificates=/a | tls-certificates=/b | are not the same",
        "nbds://h/?tls-type=psk       | \"\"                 | needs a file of keys",
        "nbds://h/?tls-type=x509      | tls-psk-file=/k      | contradict",
        "nbds://h/?tls-certificates=/c | tls-psk-file=/k     | exclude each other",
        "nbds://h/                    | tls-psk-file=/k tls-hostname=h | 'tls-hostname' is about cert",
        "nbds://h/?tls-verify-peer=0  | tls-psk-file=/k      | 'tls-verify-peer' is about cert",
        "nbds://alice@h/              | \"\"                 | names a user",
        "nbds://h/                    | tls-psk-file=        | 'tls-psk-file' is empty",
        "nbds+unix:///?socket=/s      | \"\"                 | whom the server's certificate must be for",
        "nbds+unix:///?socket=/s      | tls-certificates=/c  | whom the server's certificate must be for",
      })
  void doNotFitTogether(String uri, String options, String words) {
    TargetOpenException refusal = assertThrows(TargetOpenException.class, () -> with(uri, options));
    assertEquals(Reason.INVALID, refusal.reason());
    assertTrue(String.valueOf(refusal.getMessage()).contains(words), refusal.getMessage());
  }

  @Test
  void aPlainUriStaysPlain() throws Exception {
    assertEquals(Optional.empty(), with("nbd://h/", "connections=2").tls());
  }

  @Test
  void theRemedyForAPlainUriNamesTheSecureScheme() {
    TargetOpenException refusal =
        assertThrows(
            TargetOpenException.class, () -> with("nbd+unix:///?socket=/s", "tls-hostname=h"));
    assertEquals("write nbds+unix:, or remove the option", refusal.remedy());
  }

  @Test
  void nothingIsCompletedUnlessAsked() throws Exception {
    TlsSettings settings = with("nbds://h/?tls-certificates=c", "").tls().orElseThrow();
    assertEquals(Optional.of(Path.of("c")), settings.certificates());
    assertTrue(settings.absolute().certificates().orElseThrow().isAbsolute());
  }
}
