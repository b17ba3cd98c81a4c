package io.ublkbridge.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class CommandRunnerTest {
  @TempDir Path root;
  private FakeHost host;

  @BeforeEach
  void able() throws IOException {
    host = FakeHost.able(root);
  }

  private CommandLineRun run(String line) {
    return CommandLineRun.of(host.host(), line.isEmpty() ? new String[0] : line.split(" ", -1));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "bogus",
        "attach",
        "attach memory:1M extra",
        "attach memory:1M --queues 0",
        "attach memory:1M --queues x",
        "attach memory:1M --depth 0",
        "attach memory:1M --depth 5000",
        "attach memory:1M --max-io 5M",
        "attach memory:1M --max-io 5000",
        "attach memory:1M --max-io 99999G",
        "attach memory:1M --block-size 1K",
        "attach memory:1M --id -1",
        "attach memory:1M --id 1048576",
        "attach memory:1M --name -x",
        "attach memory:1M --name a/b",
        "attach memory:1M --timeout 90",
        "attach memory:1M --timeout 0s",
        "attach memory:1M --io-timeout soon",
        "attach memory:1M --connections 0",
        "attach memory:1M --cache much",
        "attach memory:1M --cache 1G --cache-block -4K",
        "attach memory:1M --cache 1G --readahead soon",
        "attach memory:1M --record",
        "attach memory:1M --bogus",
        "attach memory:",
        "attach file:",
        "attach nonsense:1",
        "attach disk.img",
        "attach nbd://host:99999/",
        "attach nbd://host/?tls-hostnam=x",
        "attach nbd://user:secret@host/",
        "attach nbd://alice@host/",
        "attach nbds://host/?tls-type=anon",
        "attach nbds://host/?tls-type=ssl",
        "attach nbds://host/?tls-verify-peer=no",
        "attach nbds://host/?tls-hostname=",
        "info nbd://host/ --tls-hostname db1",
        "info nbd://host/ --tls-records kernel",
        "info nbds://host/ --tls-records somebody",
        "info nbds://host/?tls-records=process",
        "info nbds://host/ --tls-psk-file /k --tls-certificates /c",
        "info nbds+unix:///?socket=/run/s",
        "detach",
        "detach a --all",
        "status",
        "status a b",
        "info",
        "info nbd://host:99999/",
        "info memory:1M --timeout 0s",
        "list x",
        "top --count x",
        "exporter x",
        "doctor x",
        "recover",
        "recover a --all",
        "recover a --timeout 0s",
        "upgrade",
        "upgrade a --all",
        "upgrade a --timeout 0s",
        "resize",
        "resize a b",
        "resize --all"
      })
  void misuseIsTwoLinesAndStatusTwo(String line) {
    CommandLineRun run = run(line);

    assertEquals(2, run.status(), run.err());
    assertEquals("", run.out());
    assertEquals(2, run.errLines().size(), run.err());
    assertTrue(run.errLines().get(0).startsWith("ublk-bridge: "), run.err());
    assertTrue(run.errLines().get(1).startsWith("  try: "), run.err());
    assertFalse(Files.exists(host.host().logs()));
  }

  @ParameterizedTest
  @CsvSource({
    "detach nosuch, 3",
    "detach /dev/sda, 3",
    "status nosuch, 3",
    "recover nosuch, 3",
    "upgrade nosuch, 3",
    "resize nosuch, 3",
    "info file:/nonexistent/x, 1",
  })
  void failuresHaveTheirStatus(String line, int status) {
    CommandLineRun run = run(line);

    assertEquals(status, run.status(), run.err());
    assertEquals("", run.out());
    assertEquals(2, run.errLines().size(), run.err());
  }

  @Test
  void aPasswordIsNeverRepeated() {
    assertFalse(run("attach nbd://user:secret@host/").err().contains("cannot open"));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "attach",
        "detach",
        "recover",
        "upgrade",
        "resize",
        "list",
        "status",
        "top",
        "exporter",
        "info",
        "doctor",
        "demo"
      })
  void helpIsNarrowAndShowsExamples(String verb) {
    CommandLineRun run = run((verb + " --help").strip());

    assertEquals(0, run.status());
    assertEquals("", run.err());
    assertTrue(run.out().contains("Example"), run.out());
    for (String line : run.out().lines().toList()) {
      assertTrue(line.length() <= CommandRunner.HELP_COLUMNS, line);
    }
  }

  @Test
  void helpNamesDefaultsAndHidesTheServer() {
    String attach = run("attach --help").out();
    for (String text : List.of("Default: 128", "Default: 512K", "Default: 90s", "Default: 60s")) {
      assertTrue(attach.contains(text), text);
    }
    assertFalse(run("--help").out().contains("serve "));
  }

  @Test
  void versionIsALine() {
    CommandLineRun run = run("--version");

    assertEquals(0, run.status());
    assertEquals(1, run.out().lines().count());
    assertEquals("", run.err());
  }

  @Test
  void resizeTellsWhatTheServerSays() throws IOException {
    host.liveDevice(3, "vol", "file:/disk");
    try (ControlSocket _ =
        ControlSocket.open(host.registry().socket(3), new CannedReplies(Map.of()))) {
      CommandLineRun refused = run("resize vol");
      assertEquals(7, refused.status());
      assertEquals(List.of("ublk-bridge: cannot resize vol: x", "  try: wait"), refused.errLines());
      CommandLineRun done = run("resize vol --force");
      assertEquals("/dev/ublkb3 shrank from 64M to 32M\n", done.out(), done.err());
    }
    host.lostDevice(4, "lost", "file:/disk");
    assertEquals(4, run("resize lost").status());
  }

  @Test
  void listIsATable() throws IOException {
    host.liveDevice(0, "vol", "nbd://h/vol");
    host.device(11, "gone", "memory:64M", 99);

    CommandLineRun run = run("list");

    assertEquals(
        """
        NAME DEVICE       SIZE RO STATE SOURCE       PID CACHE HITS
        vol  /dev/ublkb0   64M  0 live  nbd://h/vol 1000     -    -
        gone /dev/ublkb11  64M  0 dead  memory:64M     -     -    -
        """,
        run.out());
    assertEquals("", run.err());
  }

  @Test
  void listOfNothingIsItsHeading() {
    assertEquals("NAME DEVICE SIZE RO STATE SOURCE PID CACHE HITS\n", run("list").out());
    assertEquals("{\"version\":1,\"devices\":[]}\n", run("list --json").out());
  }

  @Test
  void listAsJsonHasBytes() throws IOException {
    host.liveDevice(0, "vol", "nbd://h/vol");

    Map<String, Object> document = Json.read(run("list --json").out());

    assertEquals(1L, document.get("version"));
    Map<?, ?> device = (Map<?, ?>) ((List<?>) document.getOrDefault("devices", "")).getFirst();
    assertEquals(67108864L, device.get("size"));
    assertEquals(1000L, device.get("pid"));
    assertEquals("live", device.get("state"));
    assertEquals("/dev/ublkb0", device.get("device"));
    assertEquals(false, device.get("readOnly"));
  }

  @Test
  void listAsksLiveServersForTheirCaches() throws IOException {
    host.liveDevice(0, "vol", "nbd://h/vol");
    Path path = new DeviceRegistry(host.host()).socket(0);
    Map<String, Object> cache = Map.of("size", 1L << 28, "cachedBytes", 3L << 20, "hitPercent", 97);
    Map<String, Object> status = Map.of("target", Map.of("cache", cache));
    try (ControlSocket _ = ControlSocket.open(path, new CannedReplies(status))) {
      assertTrue(run("list").out().contains(" 3M/256M  97%"), run("list").out());
      assertTrue(run("list --json").out().contains("\"hitPercent\":97"));
    }
  }

  @Test
  void statusOfADeadDeviceComesFromItsFile() throws IOException {
    host.device(11, "gone", "memory:64M", 99);

    CommandLineRun run = run("status gone");

    assertEquals(0, run.status());
    assertTrue(run.out().contains("state       dead"), run.out());
    assertTrue(run.out().contains("67108864 (64M)"), run.out());
  }

  @Test
  void detachClearsAwayWhatADeadServerLeft() throws IOException {
    host.device(11, "gone", "memory:64M", 99);

    CommandLineRun run = run("detach --all");

    assertEquals(0, run.status(), run.err());
    assertEquals("", run.out());
    assertEquals(List.of(), host.registry().all());
  }

  @Test
  void detachNamesWhoUsesTheDisk() throws IOException {
    host.liveDevice(0, "vol", "nbd://h/vol");
    host.link("proc/self/ns/mnt", "mnt:[1]");
    host.file("proc/self/mountinfo", "4 3 259:0 / /data rw - ext4 /dev/ublkb0 rw\n");

    CommandLineRun run = run("detach vol");

    assertEquals(4, run.status());
    assertEquals(
        """
        ublk-bridge: cannot detach vol: /dev/ublkb0 is mounted on /data
          try: umount /data, then detach again
        """,
        run.err());
  }

  @Test
  void detachGoesOnAfterOneThatItCannot() throws IOException {
    host.device(11, "gone", "memory:64M", 99);

    CommandLineRun run = run("detach nosuch gone");

    assertEquals(3, run.status());
    assertEquals(List.of(), host.registry().all());
  }

  @Test
  void attachSaysWhatTheHostLacks() throws IOException {
    Files.delete(root.resolve("dev/ublk-control"));

    CommandLineRun run = run("attach memory:1M");

    assertEquals(6, run.status());
    assertTrue(
        run.err().startsWith("ublk-bridge: cannot attach memory:1M: this kernel has no ublk"));
  }

  @Test
  void doctorEndsWithSixWhereNothingCanBeAttached() throws IOException {
    Files.delete(root.resolve("dev/ublk-control"));

    assertEquals(6, run("doctor").status());
    assertTrue(run("doctor --json").out().startsWith("{\"version\":1,\"able\":false,"));
  }

  @Test
  void stackTracesAreForVerbose() {
    assertFalse(run("detach nosuch").err().contains("\tat "));
    assertTrue(run("detach nosuch --verbose").err().contains("\tat "));
  }
}
