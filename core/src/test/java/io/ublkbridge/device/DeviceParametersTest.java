package io.ublkbridge.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.kernel.UblkAbi;
import io.ublkbridge.kernel.UblkParams;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.Geometry;
import org.junit.jupiter.api.Test;

final class DeviceParametersTest {
  private static final Geometry GEOMETRY = new Geometry(1 << 20, 512, 4096, 1 << 20, 1 << 20);

  private static UblkParams of(Capabilities capabilities) {
    return DeviceParameters.of(GEOMETRY, capabilities, DeviceOptions.defaults(), 512 << 10);
  }

  private static Capabilities caching(boolean volatileCache, boolean fua) {
    return new Capabilities(false, volatileCache, fua, true, true, false, 1);
  }

  @Test
  void flushComesOnlyWithAVolatileCache() {
    assertEquals(UblkAbi.UBLK_ATTR_VOLATILE_CACHE, of(caching(true, false)).attributes());
    assertEquals(
        UblkAbi.UBLK_ATTR_VOLATILE_CACHE | UblkAbi.UBLK_ATTR_FUA,
        of(caching(true, true)).attributes());
    assertEquals(0, of(caching(false, true)).attributes(), "FUA means nothing without a cache");
  }

  @Test
  void discardAndZeroesComeOnlyWhenTheTargetCan() {
    UblkParams neither = of(new Capabilities(false, true, true, false, false, false, 1));
    assertEquals(0, neither.maxDiscardBytes());
    assertEquals(0, neither.maxWriteZeroesBytes());
    UblkParams both = of(caching(true, true));
    assertEquals(1 << 20, both.maxDiscardBytes());
    assertEquals(1 << 20, both.maxWriteZeroesBytes());
  }

  @Test
  void readOnlyDiskOffersNothingThatChangesIt() {
    UblkParams params = of(caching(true, true).asReadOnly());
    assertTrue((params.attributes() & UblkAbi.UBLK_ATTR_READ_ONLY) != 0);
    assertEquals(0, params.maxDiscardBytes() + params.maxWriteZeroesBytes());
  }

  @Test
  void largerBlocksAreHonouredAndCutTheSize() {
    DeviceOptions options = new DeviceOptions(-1, 0, 1, 4096, 4096, false);
    Geometry odd = new Geometry((1 << 20) + 512, 512, 512, 4096, 512);
    UblkParams params = DeviceParameters.of(odd, caching(true, true), options, 4096);
    assertEquals(4096, params.blockBytes());
    assertEquals(1 << 20, params.sizeBytes(), "the tail that fills no block is out of reach");
  }

  @Test
  void optionsOutOfRangeAreRefused() {
    assertThrows(
        IllegalArgumentException.class, () -> new DeviceOptions(-2, 1, 1, 4096, 512, false));
    assertThrows(
        IllegalArgumentException.class, () -> new DeviceOptions(-1, 1, 0, 4096, 512, false));
    assertThrows(
        IllegalArgumentException.class, () -> new DeviceOptions(-1, 1, 4097, 4096, 512, false));
    assertThrows(
        IllegalArgumentException.class, () -> new DeviceOptions(-1, 1, 1, 5000, 512, false));
    assertThrows(
        IllegalArgumentException.class, () -> new DeviceOptions(-1, 1, 1, 4096, 1024, false));
  }

  @Test
  void queuesAreNeverMoreThanTheTargetOrTheCpusCanUse() {
    DeviceOptions asked = new DeviceOptions(-1, 8, 1, 4096, 512, false);
    Capabilities four = new Capabilities(false, false, false, false, false, false, 4);
    assertEquals(4, asked.queuesFor(four, 16));
    assertEquals(2, asked.queuesFor(four, 2));
    assertEquals(4, DeviceOptions.defaults().queuesFor(four, 64));
    assertEquals(1, DeviceOptions.defaults().queuesFor(caching(true, true), 64));
  }
}
