package io.ublkbridge.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class DeviceNameTest {
  @ParameterizedTest
  @CsvSource({
    "nbd://db1/vol, db1-vol",
    "nbd://db1:10809/vol, db1-vol",
    "nbds://alice@db1/vol?tls-psk-file=/etc/keys.psk, db1-vol",
    "nbds+unix://alice@/?tls-psk-file=/etc/keys.psk&socket=/run/nbd.sock, nbd.sock",
    "nbd://127.0.0.1/, 127.0.0.1",
    "nbd://127.0.0.1:10809, 127.0.0.1",
    "nbd://[::1]:10809/vol, 1-vol",
    "nbd://db1//a/b%20c/, db1-a-b-c",
    "nbd+unix:///vol?socket=/run/nbd.sock, vol",
    "nbd+unix:///?socket=/run/nbd.sock, nbd.sock",
    "nbd+unix:///?socket=%2F, nbd-unix",
    "file:/srv/disk.img, disk.img",
    "file:/, file",
    "memory:1G, memory",
    "null:512, null",
    "x:/.hidden, hidden",
  })
  void isDerivedFromTheUri(String uri, String name) {
    assertEquals(name, DeviceName.of(uri));
    assertTrue(DeviceName.valid(name));
  }

  @Test
  void isNeverTooLong() {
    String name = DeviceName.of("nbd://host/" + "x".repeat(200));

    assertEquals(63, name.length());
    assertTrue(DeviceName.valid(DeviceName.free(name, Set.of(name)::contains)));
  }

  @Test
  void isMadeUniqueByANumber() {
    assertEquals("vol", DeviceName.free("vol", _ -> false));
    assertEquals("vol-3", DeviceName.free("vol", Set.of("vol", "vol-2")::contains));
  }

  @Test
  void hasLettersDigitsAndFewSigns() {
    assertTrue(DeviceName.valid("a"));
    assertTrue(DeviceName.valid("A.b_c-9"));
    for (String bad : new String[] {"", ".a", "-a", "a b", "a/b", "ä", "x".repeat(64)}) {
      assertFalse(DeviceName.valid(bad), bad);
    }
  }

  @Test
  void memoryIsNoPlace() {
    assertTrue(DeviceName.namesPlace("nbd://h/"));
    assertFalse(DeviceName.namesPlace("memory:1G"));
  }
}
