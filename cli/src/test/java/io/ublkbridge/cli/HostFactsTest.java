package io.ublkbridge.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.cli.Finding.Level;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class HostFactsTest {
  @TempDir Path root;
  private FakeHost host;
  private HostFacts facts;

  @BeforeEach
  void able() throws IOException {
    host = FakeHost.able(root);
    facts = new HostFacts(host.host());
  }

  @Test
  void findNothingWrongOnAGoodHost() {
    for (Finding finding :
        new Finding[] {
          facts.kernel(),
          facts.driver(),
          facts.privilege(),
          facts.ioFlusher(),
          facts.ioUringAllowed()
        }) {
      assertEquals(Level.OK, finding.level(), finding.message());
    }
  }

  @ParameterizedTest
  @CsvSource({
    "5.15.0-generic, FAIL",
    "6.4.9, FAIL",
    "6.5.0, OK",
    "6.12.107+deb13, OK",
    "7.0, OK",
    "6.18.4-1-generic, WARN",
    "6.18.5, WARN",
    "6.18.6, OK",
    "6.18.50, OK",
    "6.17.0-1014-azure, OK",
    "6.17.0-1018-azure, WARN",
    "6.17.0-1003-aws, WARN",
    "6.17.0-1019-azure, OK",
    "x, WARN"
  })
  void knowWhichKernelsCanBeUsed(String release, Level level) throws IOException {
    host.file("proc/sys/kernel/osrelease", release + "\n");

    assertEquals(level, facts.kernel().level());
  }

  @Test
  void sayHowToLoadTheModuleIfThereIsOne() throws IOException {
    Files.delete(root.resolve("dev/ublk-control"));
    host.file("lib/modules/6.12.1-test/modules.dep", "kernel/drivers/block/ublk_drv.ko.xz:\n");

    assertEquals("modprobe ublk_drv", facts.driver().remedy());
  }

  @Test
  void sayWhichKernelHasIt() throws IOException {
    Files.delete(root.resolve("dev/ublk-control"));

    assertEquals(
        "this kernel has no ublk (no module ublk_drv for 6.12.1-test)", facts.driver().message());
    assertTrue(String.valueOf(facts.driver().remedy()).contains("CONFIG_BLK_DEV_UBLK"));
  }

  @Test
  void tellAContainerFromAMissingModule() throws IOException {
    Files.delete(root.resolve("dev/ublk-control"));
    host.file("sys/module/ublk_drv/refcnt", "0");

    assertTrue(facts.driver().message().contains("loaded"));
  }

  @Test
  void missCapabilities() throws IOException {
    host.file("proc/self/status", "CapEff:\t0000000000000000\n");

    assertEquals(Level.FAIL, facts.privilege().level());
    assertEquals(Level.WARN, facts.ioFlusher().level());
  }

  @ParameterizedTest
  @CsvSource({
    "0, 000001ffffffffff, OK",
    "1, 000001ffffffffff, OK",
    "1, 0000000000000000, FAIL",
    "2, 000001ffffffffff, FAIL"
  })
  void readTheIoUringSwitch(String value, String capabilities, Level level) throws IOException {
    host.file("proc/sys/kernel/io_uring_disabled", value + "\n");
    host.file("proc/self/status", "CapEff:\t" + capabilities + "\n");

    assertEquals(level, facts.ioUringAllowed().level());
  }

  @Test
  void featuresHaveNames() {
    assertEquals("USER_COPY ZONED", Doctor.names(0x180));
    assertEquals("IO_DESC_SIZE bit40", Doctor.names(1L << 20 | 1L << 40));
  }
}
