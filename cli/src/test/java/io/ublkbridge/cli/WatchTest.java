package io.ublkbridge.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The script `lib/watch` of the distribution, between a server and a command that are scripts too.
final class WatchTest {
  private static final Path SCRIPT = Path.of("src/main/distribution/lib/watch");

  @TempDir Path home;
  private Path records;
  private Path calls;

  @BeforeEach
  void distribution() throws IOException {
    records = Files.createDirectories(home.resolve("run"));
    calls = Files.createFile(home.resolve("calls"));
    String script = Files.readString(SCRIPT);
    assertTrue(script.contains("/run/ublk-bridge/"), script);
    program("lib/watch", script.replace("/run/ublk-bridge", records.toString()));
  }

  private void program(String name, String text) throws IOException {
    Path file = home.resolve(name);
    Files.createDirectories(file.getParent());
    Files.writeString(file, text);
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
  }

  /// A server that writes its record as a real one and then does something else.
  private String server(boolean underWay, String then) {
    return "echo '{\"version\":1,\"pid\":'$$',\"x\":1,\"recovers\":true,\"recoveries\":0,"
        + "\"recovery\":{\"mark\":1,\"underWay\":"
        + underWay
        + "}}' >"
        + records.resolve("3.json")
        + "; "
        + then;
  }

  private int watch(String server, String recover, String deaths) throws Exception {
    program(
        "bin/ublk-bridge",
        "#!/bin/sh\necho \"$UBLK_BRIDGE_DEATHS $*\" >>" + calls + "\n" + recover);
    ProcessBuilder builder =
        new ProcessBuilder(home.resolve("lib/watch").toString(), "sh", "-c", server);
    builder.environment().put("UBLK_BRIDGE_DEATHS", deaths);
    Process process =
        builder.redirectErrorStream(true).redirectOutput(home.resolve("log").toFile()).start();
    assertTrue(process.waitFor(60, TimeUnit.SECONDS));
    return process.exitValue();
  }

  private List<String> calls() throws IOException {
    return Files.readAllLines(calls);
  }

  @Test
  void recoversTheDeviceOfAServerThatWasKilled() throws Exception {
    assertEquals(0, watch(server(false, "sleep 2; kill -9 $$"), "exit 0", "5"));
    assertEquals(List.of("0 recover --timeout 10m 3"), calls(), "it had lived long enough");
  }

  @Test
  void endsWithAServerThatTookItsRecordAway() throws Exception {
    assertEquals(0, watch(server(false, "rm " + records.resolve("3.json")), "exit 0", "0"));
    assertEquals(List.of(), calls());
  }

  @Test
  void leavesAServerThatDiedBeforeItServedToItsStarter() throws Exception {
    assertEquals(0, watch(server(true, "kill -9 $$"), "exit 0", "0"));
    assertEquals(List.of(), calls());
  }

  @Test
  void recoversADeviceThatWasHandedToAServerThatDied() throws Exception {
    String server = "true '\"task\":\"upgrade\"'; " + server(true, "sleep 2; kill -9 $$");
    assertEquals(0, watch(server, "exit 0", "0"));
    assertEquals(List.of("0 recover --timeout 10m 3"), calls());
  }

  @Test
  void countsServersThatDieAtOnceAndGivesUp() throws Exception {
    assertEquals(0, watch(server(false, "kill -9 $$"), "exit 0", "0"));
    assertEquals(List.of("1 recover --timeout 10m 3"), calls());
    assertEquals(1, watch(server(false, "kill -9 $$"), "exit 0", "11"));
    assertEquals(1, calls().size(), "one more was not started");
    assertTrue(Files.readString(home.resolve("log")).contains("given up"));
  }

  @Test
  void triesAgainUntilItIsDoneOrTheDeviceIsGone() throws Exception {
    String third = "[ $(wc -l <" + calls + ") -lt 3 ] && exit 7; exit 0";
    assertEquals(0, watch(server(false, "sleep 2; kill -9 $$"), third, "0"));
    assertEquals(3, calls().size());
    String detached = "rm " + records.resolve("3.json") + "; exit 1";
    assertEquals(0, watch(server(false, "sleep 2; kill -9 $$"), detached, "0"));
    assertEquals(4, calls().size());
  }
}
