package io.ublkbridge.nbd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import io.ublkbridge.target.TargetUri;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

final class NbdUriTest {
  private static NbdUri parse(String uri) throws TargetOpenException {
    return NbdUri.parse(TargetUri.parse(uri));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "nbd://db1                      | db1:10809         | ''",
        "nbd://db1/                     | db1:10809         | ''",
        "NBD://db1:1/vol                | db1:1             | vol",
        "nbd://db1:65535/a/b            | db1:65535         | a/b",
        "nbd://db1://disk               | db1:10809         | /disk",
        "nbd:///vol                     | localhost:10809   | vol",
        "nbd://:20000/vol               | localhost:20000   | vol",
        "nbd://[::1]:20000/vol          | [::1]:20000       | vol",
        "nbd://[fe80::1%25eth0]/        | [fe80::1%eth0]:10809 | ''",
        "nbd://h/a%20b%2Fc%3f           | h:10809           | a b/c?",
        "nbd://h/%c3%a4?                | h:10809           | ä",
        "nbd+unix:///?socket=/run/s     | /run/s            | ''",
        "nbd+unix:///vol?socket=%2Frun%2Fs | /run/s         | vol",
        "nbd+unix://?socket=/run/s      | /run/s            | ''",
        "nbd+unix:////vol?socket=s      | s                 | /vol",
        "nbd+unix:///?socket=%00name    | @name             | ''",
        "nbd+vsock:///                  | vsock:2:10809     | ''",
        "nbd+vsock://1/vol              | vsock:1:10809     | vol",
        "nbd+vsock://4294967294:4294967294/ | vsock:4294967294:4294967294 | ''",
        "nbd+vsock://:0/                | vsock:2:0         | ''",
        "nbds://db1/vol                 | db1:10809         | vol",
        "nbds://alice@db1:1/vol         | db1:1             | vol",
        "nbds+unix:///vol?socket=/run/s | /run/s            | vol",
        "nbds+unix://alice@/?socket=/run/s | /run/s         | ''",
      })
  void isUnderstood(String uri, String endpoint, String exportName) throws Exception {
    NbdUri parsed = parse(uri);
    assertEquals(endpoint, parsed.endpoint().toString());
    assertEquals(exportName, parsed.exportName());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '"',
      value = {
        "nbd:localhost:10809                | is not an NBD URI",
        "nbd:/vol                           | is not an NBD URI",
        "nbd://host:99999/                  | is not a port",
        "nbd://host:0/                      | is not a port",
        "nbd://host:65536/                  | is not a port",
        "nbd://host:+1/                     | is not a port",
        "nbd://host:1a/                     | is not a port",
        "nbd://::1/vol                      | more than one colon",
        "nbd://[::1/vol                     | no closing bracket",
        "nbd://[::1]x/vol                   | is not an address and a port",
        "nbd://alice@host/vol               | user name",
        "nbd://host/vol#x                   | fragment",
        "nbd://host/%zz                     | two hex digits",
        "nbd://host/a%4                     | two hex digits",
        "nbd://host/%ff                     | not UTF-8",
        "nbd://host/a%00b                   | NUL",
        "nbd://host/?socket=/run/s          | belongs to nbd+unix",
        "nbd://host/?tls-hostname=x         | 'tls-hostname' is about TLS",
        "nbd://host/?tls-type=x509          | 'tls-type' is about TLS",
        "nbd+unix:///?socket=/s&tls-psk-file=/f | 'tls-psk-file' is about TLS",
        "nbd://host/?bogus=1                | unknown URI parameter 'bogus'",
        "nbd+unix:///?sokcet=/run/s         | unknown URI parameter 'sokcet'",
        "nbd+vsock://4294967295/            | no number of a vsock",
        "nbd+vsock://2:99999999999/         | no number of a vsock",
        "nbd+vsock://host/                  | no number of a vsock",
        "nbd+vsock://-1/                    | no number of a vsock",
        "nbd+vsock://1/?socket=/run/s       | belongs to nbd+unix",
        "nbd+unix:///vol                    | names no socket",
        "nbd+unix:///vol?socket=            | names no socket",
        "nbd+unix:///vol?socket=a%00b       | NUL",
        "nbd+unix:///vol?socket=a&socket=b  | twice",
        "nbd+unix://host/vol?socket=a       | takes no host",
        "nbds+unix://al@host/vol?socket=a   | nbds+unix: takes no host",
        "nbds://host/?socket=/run/s         | belongs to nbds+unix",
        "nbds://@host/                      | user name is not one",
        "nbds://a%00b@host/                 | user name is not one",
        "nbds://host/?tls-type=anon         | keeps nobody from sitting in the middle",
        "nbds://host/?tls-type=X509         | x509 or psk",
        "nbds://host/?tls-verify-peer=no    | 0 or 1",
        "nbds://host/?tls-verify-peer       | 0 or 1",
        "nbds://host/?tls-certificates=     | 'tls-certificates' is empty",
        "nbds://host/?tls-psk-file=a%00b    | is not a path",
        "nbds://host/?tls-hostname=         | not a host's name",
        "nbds://host/?tls-hostname=a%20b    | not a host's name",
        "nbds://host/?tls-hostname=a&tls-hostname=b | twice",
        "nbds://host/?tls-priority=NORMAL   | unknown URI parameter 'tls-priority'",
      })
  void isRefused(String uri, String why) {
    TargetOpenException refusal = assertThrows(TargetOpenException.class, () -> parse(uri));
    assertEquals(Reason.INVALID, refusal.reason());
    assertTrue(String.valueOf(refusal.getMessage()).contains(why), refusal.getMessage());
  }

  @Test
  void aMisspeltParameterIsPointedOut() {
    TargetOpenException refusal =
        assertThrows(TargetOpenException.class, () -> parse("nbd+unix:///?sokcet=/run/s"));
    assertEquals("did you mean 'socket'?", refusal.remedy());
    refusal = assertThrows(TargetOpenException.class, () -> parse("nbd://h/?tls-hostnam=x"));
    assertEquals("did you mean 'tls-hostname'?", refusal.remedy());
  }

  @Test
  void lengthsAreLimited() throws Exception {
    assertNotNull(parse("nbd://h/" + "x".repeat(4096)));
    assertThrows(TargetOpenException.class, () -> parse("nbd://h/" + "x".repeat(4097)));
    assertNotNull(parse("nbd+unix:///?socket=" + "x".repeat(107)));
    assertThrows(TargetOpenException.class, () -> parse("nbd+unix:///?socket=" + "x".repeat(108)));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "nbd://db1/",
        "nbd://db1:1/a/b%20c%3F%23%25",
        "nbd://[::1]:20000//disk",
        "nbd://[fe80::1%25eth0]/",
        "nbd+unix:///vol?socket=/run/a%26b",
        "nbd+unix:///?socket=%00name",
        "nbds://db1/vol",
        "nbds://al%40ice%2F%C3%A4@db1/vol?tls-psk-file=/etc/keys%20of%20mine.psk",
        "nbds://db1/?tls-type=x509&tls-certificates=/etc/pki&tls-hostname=db2&tls-verify-peer=0",
        "nbds+unix:///vol?socket=/run/s&tls-hostname=db1.example.org",
        "nbds+unix://alice@/?socket=/run/s&tls-type=psk&tls-psk-file=keys.psk"
      })
  void isPrintedAsItWasWritten(String uri) throws Exception {
    assertEquals(uri, parse(uri).toString());
    assertEquals(parse(uri), parse(parse(uri).toString()));
  }

  @Test
  void isPrintedInOneWay() throws Exception {
    assertEquals("nbd://localhost/vol", parse("NBD://:10809/vol?").toString());
    assertEquals(
        "nbds://db1/?tls-type=psk&tls-psk-file=/k",
        parse("nbds://db1?tls-psk-file=%2Fk&tls-verify-peer=1&tls-type=psk").toString());
  }

  @Test
  void relativePathsAreCompletedWhereTheyWereSaid() throws Exception {
    NbdTargetProvider provider = new NbdTargetProvider();
    TargetUri whole = TargetUri.parse("nbds://DB1:10809/vol?tls-certificates=/etc/pki");
    assertEquals(whole, provider.resolve(whole));
    Path here = Path.of("").toAbsolutePath();
    assertEquals(
        "nbds+unix:///?socket=" + here + "/s&tls-psk-file=" + here + "/k",
        provider.resolve(TargetUri.parse("nbds+unix:///?socket=s&tls-psk-file=k")).toString());
  }
}
