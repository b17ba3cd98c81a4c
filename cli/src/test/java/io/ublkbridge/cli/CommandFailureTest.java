package io.ublkbridge.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.ublkbridge.device.DeviceOptions;
import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.UblkException;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CommandFailureTest {
  @ParameterizedTest
  @CsvSource({
    "INVALID, 2",
    "UNREACHABLE, 7",
    "REFUSED, 8",
    "TIMED_OUT, 9",
    "UNSUPPORTED, 10",
    "FAILED, 1"
  })
  void everyReasonOfATargetHasItsExitCode(Reason reason, int status) {
    CommandFailure failure =
        CommandFailure.of("cannot attach x:", new TargetOpenException(reason, "why", "how"));

    assertEquals(status, failure.exitCode().status());
    assertEquals("cannot attach x:: why", failure.message());
    assertEquals("how", failure.remedy());
  }

  @ParameterizedTest
  @CsvSource({
    Errno.EPERM + ", 6",
    Errno.EACCES + ", 6",
    Errno.ENOENT + ", 6",
    Errno.EOPNOTSUPP + ", 6",
    Errno.EEXIST + ", 5",
    Errno.EINVAL + ", 1",
    "0, 1"
  })
  void everyRefusalOfTheKernelHasItsExitCode(int errno, int status) {
    CommandFailure failure = CommandFailure.of("cannot", new UblkException("ADD_DEV", errno));

    assertEquals(status, failure.exitCode().status());
  }

  @Test
  void takesTwoLinesWhateverItSays() {
    StringWriter err = new StringWriter();
    Answer answer = new Answer(new PrintWriter(new StringWriter()), new PrintWriter(err, true));

    answer.failure(new CommandFailure(ExitCode.FAILURE, "one\n  two\r\nthree", "a\nb"), false);

    assertEquals("ublk-bridge: one two three\n  try: a b\n", err.toString());
  }

  @Test
  void travelsFromTheServerToTheCommand() throws IOException {
    ServerReport sent =
        new ServerReport.Failed(new CommandFailure(ExitCode.REFUSED, "no \"TLS\"", "use nbds:"));

    ServerReport got = ServerReport.ofJson(sent.toJson());

    CommandFailure failure = ((ServerReport.Failed) got).failure();
    assertEquals(ExitCode.REFUSED, failure.exitCode());
    assertEquals("no \"TLS\"", failure.message());
    assertEquals("use nbds:", failure.remedy());
    assertEquals(new ServerReport.Added(7), ServerReport.ofJson("{\"added\":7}"));
    ServerReport ready = new ServerReport.Ready(7, Duration.ofMillis(120));
    assertEquals(ready, ServerReport.ofJson(ready.toJson()));
  }

  @Test
  void soDoesTheRequest() throws IOException {
    ServerRequest request =
        new ServerRequest(
            "nbd://h/ä b",
            "n",
            new DeviceOptions(3, 2, 64, 8192, 4096, true, true, false),
            Map.of("connections", "4"),
            Instant.parse("2026-01-02T03:04:05.678Z"),
            null,
            "mnt:[1]",
            ServerRequest.Task.UPGRADE);

    assertEquals(request, ServerRequest.ofJson(request.toJson()));
  }
}
