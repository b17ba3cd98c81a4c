package io.ublkbridge.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.kernel.DeviceInfo;
import io.ublkbridge.kernel.UblkAbi;
import io.ublkbridge.kernel.UblkParams;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.Geometry;
import java.util.Optional;
import org.junit.jupiter.api.Test;

final class DeviceParametersTest {
  private static final Geometry GEOMETRY = new Geometry(1 << 20, 512, 4096, 1 << 20, 1 << 20);

  private static final Capabilities ALL = caching(true, true);

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
  void aDiskIsServedOnByATargetThatCanDoAsMuch() {
    assertEquals(Optional.empty(), change(caching(true, false), caching(true, true)));
    assertEquals(
        Optional.empty(), change(new Capabilities(false, true, true, false, true, false, 1), ALL));
    assertEquals(Optional.empty(), DeviceParameters.difference(of(ALL), longer(1 << 20)));
  }

  @Test
  void aDiskIsNotServedOnByATargetThatBreaksAPromise() {
    assertEquals(
        Optional.of("its write cache has come or gone"),
        change(caching(false, false), caching(true, false)));
    assertEquals(
        Optional.of("its write cache has come or gone"),
        change(caching(true, true), caching(false, false)));
    assertEquals(
        Optional.of("it can no longer make a single write durable"),
        change(ALL, caching(true, false)));
    assertEquals(
        Optional.of("its longest discard was 1048576 bytes and is 0"),
        change(ALL, new Capabilities(false, true, true, false, true, false, 1)));
    assertTrue(change(ALL, ALL.asReadOnly()).orElse("").contains("it is read-only now"));
    assertEquals(Optional.of("it is no longer read-only"), change(ALL.asReadOnly(), ALL));
    assertEquals(
        Optional.of("its size was 1048576 bytes and is 1049088"),
        DeviceParameters.difference(of(ALL), longer((1 << 20) + 512)));
    assertEquals(
        Optional.of("its longest request was 524288 bytes and is 4096"),
        DeviceParameters.difference(
            of(ALL), DeviceParameters.of(GEOMETRY, ALL, DeviceOptions.defaults(), 4096)));
    DeviceOptions large = new DeviceOptions(-1, 0, 1, 4096, 4096, false);
    assertEquals(
        Optional.of("its block was 512 bytes and is 4096"),
        DeviceParameters.difference(of(ALL), DeviceParameters.of(GEOMETRY, ALL, large, 512 << 10)));
  }

  private static Optional<String> change(Capabilities there, Capabilities now) {
    return DeviceParameters.difference(of(there), of(now));
  }

  private static UblkParams longer(long sizeBytes) {
    Geometry geometry = new Geometry(sizeBytes, 512, 4096, 1 << 20, 1 << 21);
    return DeviceParameters.of(geometry, ALL, DeviceOptions.defaults(), 512 << 10);
  }

  /// A recovery flag that the kernel has cleared would let the disk die with its server.
  @Test
  void aDeviceThatIsNotWhatWasAskedForIsNoticed() {
    DeviceInfo wanted = DeviceInfo.wanted(2, 128, 4096, 1, 0x98, 7);
    assertTrue(UblkDevice.isAsWanted(new DeviceInfo(1, 128, 0, 4096, 1, -1, 0x20df, 7), wanted));
    assertFalse(UblkDevice.isAsWanted(new DeviceInfo(1, 128, 0, 4096, 1, -1, 0x88, 7), wanted));
    assertFalse(UblkDevice.isAsWanted(new DeviceInfo(1, 128, 0, 4096, 1, -1, 0x98, 8), wanted));
    assertFalse(UblkDevice.isAsWanted(new DeviceInfo(3, 128, 0, 4096, 1, -1, 0x98, 7), wanted));
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
