package io.ublkbridge.nbd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.nbd.ScriptedServer.Script;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import io.ublkbridge.target.TargetUri;
import io.ublkbridge.target.UringLoops;
import java.time.Duration;
import java.util.Map;

/// Attempts to open an export that must fail, and what is expected of the failure.
final class Refusals {
  private Refusals() {}

  /// Opens export `vol`, which must fail.
  static TargetOpenException refusal(Script script) throws Exception {
    return refusal(script, "vol", Duration.ofSeconds(10));
  }

  static TargetOpenException refusal(Script script, String export, Duration timeout)
      throws Exception {
    try (ScriptedServer server = ScriptedServer.onTcp(script)) {
      return refusal(server.uri(export), timeout);
    }
  }

  static TargetOpenException refusal(String uri, Duration timeout) throws Exception {
    try (UringLoops loops = new UringLoops(1)) {
      OpenContext context = new OpenContext(loops.next(), false, timeout, Map.of());
      return assertThrows(
          TargetOpenException.class,
          () -> new NbdTargetProvider().open(TargetUri.parse(uri), context).close());
    }
  }

  static void assertRefusal(Reason reason, String text, TargetOpenException refusal) {
    assertTrue(String.valueOf(refusal.getMessage()).contains(text), refusal.getMessage());
    assertEquals(reason, refusal.reason(), refusal.getMessage());
  }

  static void assertBroken(String text, Script script) throws Exception {
    assertRefusal(Reason.UNREACHABLE, text, refusal(script));
  }

  /// A reply to an option, as bytes.
  static byte[] reply(int option, int type, byte... data) {
    return Bytes.of()
        .u64(NbdProtocol.OPTION_REPLY_MAGIC)
        .u32(option)
        .u32(type)
        .u32(data.length)
        .raw(data)
        .array();
  }
}
