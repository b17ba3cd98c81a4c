package io.ublkbridge.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// What goes to the kernel and comes back survives the trip, at the ends of its range too.
final class EncodingTest {
  @Test
  void deviceInfoSurvives() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment memory = arena.allocate(DeviceInfo.LAYOUT);
      DeviceInfo info = new DeviceInfo(4096, 4096, 3, 32 << 20, 1048575, -1, -1L >>> 1, -2L);
      info.writeTo(memory);
      assertEquals(info, DeviceInfo.readFrom(memory));
    }
  }

  @Test
  void paramsSurviveAndAreAnnounced() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment memory = arena.allocate(UblkParams.LAYOUT);
      UblkParams params =
          new UblkParams(
              UblkAbi.UBLK_ATTR_VOLATILE_CACHE, 512, 4096, 65536, 4 << 20, 1L << 62, 1L << 30, 512);
      params.writeTo(memory);
      assertEquals(params, UblkParams.readFrom(memory));
      assertEquals(60, memory.get(ValueLayout.JAVA_INT, 0));
      assertEquals(3, memory.get(ValueLayout.JAVA_INT, 4), "BASIC and DISCARD are announced");
    }
  }

  @Test
  void diskWithoutDiscardDoesNotAnnounceIt() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment memory = arena.allocate(UblkParams.LAYOUT);
      new UblkParams(0, 4096, 4096, 4096, 4096, 4096, 0, 0).writeTo(memory);
      assertEquals(1, memory.get(ValueLayout.JAVA_INT, 4));
      assertEquals(0, UblkParams.readFrom(memory).maxDiscardBytes());
    }
  }

  @Test
  void discardLimitThatDoesNotFitIsLoweredNotWrapped() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment memory = arena.allocate(UblkParams.LAYOUT);
      new UblkParams(0, 512, 4096, 4096, 4096, 1L << 50, 1L << 50, 1L << 50).writeTo(memory);
      UblkParams read = UblkParams.readFrom(memory);
      assertTrue(read.maxDiscardBytes() > 1L << 39, "limit is " + read.maxDiscardBytes());
      assertEquals(0, read.maxDiscardBytes() % 4096);
    }
  }

  @Test
  void ioDescriptorsAreReadAtTheirTag() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment memory = arena.allocate(IoDescriptor.LAYOUT, 4096);
      int flags =
          UblkAbi.UBLK_IO_OP_WRITE_ZEROES | UblkAbi.UBLK_IO_F_FUA | UblkAbi.UBLK_IO_F_NOUNMAP;
      long length = 0xffff_ffffL << 9;
      IoDescriptor.write(memory, 4095, flags, 1L << 62, length);
      int read = IoDescriptor.opFlags(memory, 4095);
      assertEquals(UblkAbi.UBLK_IO_OP_WRITE_ZEROES, IoDescriptor.operation(read));
      assertTrue(IoDescriptor.durable(read));
      assertFalse(IoDescriptor.mayUnmap(read));
      assertEquals(1L << 62, IoDescriptor.offsetBytes(memory, 4095));
      assertEquals(length, IoDescriptor.lengthBytes(memory, 4095));
    }
  }

  @Test
  void commitCarriesNegativeResultsAndLargeTags() {
    assertEquals(0xffff_fffb_0fff_0003L, IoCommand.firstBytes(3, 4095, -Errno.EIO));
    assertEquals(0x0040_0000_0001_0000L, IoCommand.firstBytes(0, 1, 4 << 20));
  }

  @Test
  void aRequestThatCannotBeRegisteredIsDeliveredAllTheSame() {
    assertEquals(0x1_0000L, IoCommand.autoBuffer(0));
    assertEquals(0x1_0fffL, IoCommand.autoBuffer(4095));
    assertTrue(IoDescriptor.payloadRegistered(UblkAbi.UBLK_IO_OP_WRITE));
    assertFalse(IoDescriptor.payloadRegistered(UblkAbi.UBLK_IO_OP_WRITE | 1 << 17));
  }

  @Test
  void userCopyOffsetsOfNeighboursDoNotOverlap() {
    assertEquals(0x8000_0000L, UserCopyOffset.of(0, 0, 0));
    assertEquals(0x8000_0000L + (1L << 25), UserCopyOffset.of(0, 1, 0));
    assertEquals(0x8000_0000L + (1L << 41) + 7, UserCopyOffset.of(1, 0, 7));
    assertTrue(UserCopyOffset.of(4095, 4095, (1 << 25) - 1) > 0);
  }

  @Test
  void posixReadsWritesAndReportsErrors(@TempDir Path dir) throws Exception {
    Path file = Files.createFile(dir.resolve("file"));
    assertEquals(-Errno.ENOENT, Posix.open(dir.resolve("none").toString(), Posix.O_RDONLY));
    int fd = Posix.open(file.toString(), Posix.O_RDWR | Posix.O_CLOEXEC);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment text = arena.allocateFrom("ublk");
      assertEquals(5, Posix.pwrite(fd, text, 3));
      MemorySegment back = arena.allocate(16);
      assertEquals(5, Posix.pread(fd, back, 3));
      assertEquals("ublk", back.getString(0));
    } finally {
      assertEquals(0, Posix.close(fd));
    }
    assertEquals(-9, Posix.close(fd), "closing twice is EBADF");
  }

  @Test
  void controlRingTellsTheKernelsAnswer() {
    // Any file that knows no ring commands: the kernel answers, through a 128-byte ring.
    int fd = Posix.open("/dev/null", Posix.O_RDWR | Posix.O_CLOEXEC);
    try (ControlRing ring = new ControlRing()) {
      ControlCommand command =
          new ControlCommand(UblkAbi.UBLK_U_CMD_GET_FEATURES, -1, MemorySegment.NULL, 0, 0);
      // Since 6.4 /dev/null takes any command and answers 0; before it knew none.
      int result = ring.run(fd, command);
      assertTrue(result == 0 || result == -Errno.EOPNOTSUPP, "result " + result);
    } finally {
      Posix.close(fd);
    }
  }
}
