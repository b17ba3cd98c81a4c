package io.ublkbridge.kernel;

import static java.lang.foreign.MemoryLayout.PathElement.groupElement;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.netty.channel.IoHandler;
import java.lang.foreign.Arena;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// The table of buffers that the kernel keeps with a loop's ring, empty at first: ublk puts the
/// payload of requests into it (`UBLK_F_AUTO_BUF_REG`), and operations on files name them.
///
/// `io_uring_register(2)` wants the ring's file descriptor, which Netty 4.2 gives to nobody, and
/// nothing else tells which of the process's rings is whose. So it is taken from a private field,
/// here and nowhere else. Should a later Netty have another one, there is no table, and payload is
/// copied.
final class RingBuffers {
  private static final Logger log = LoggerFactory.getLogger(RingBuffers.class);

  /// `struct io_uring_rsrc_register`.
  static final StructLayout LAYOUT =
      MemoryLayout.structLayout(
              JAVA_INT.withName("nr"),
              JAVA_INT.withName("flags"),
              JAVA_LONG.withName("resv2"),
              JAVA_LONG.withName("data"),
              JAVA_LONG.withName("tags"))
          .withName("io_uring_rsrc_register");

  private static final long NR = LAYOUT.byteOffset(groupElement("nr"));
  private static final long FLAGS = LAYOUT.byteOffset(groupElement("flags"));

  private static final int IORING_REGISTER_BUFFERS2 = 15;
  private static final int IORING_RSRC_REGISTER_SPARSE = 1;

  private RingBuffers() {}

  /// Makes the table. On the loop's own thread, the only one that may touch its ring.
  ///
  /// @param ring Netty's
  /// @return whether it is there
  static boolean register(IoHandler ring, int count) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment table = arena.allocate(LAYOUT);
      table.set(JAVA_INT, NR, count);
      table.set(JAVA_INT, FLAGS, IORING_RSRC_REGISTER_SPARSE);
      int result =
          Posix.ioUringRegister(
              descriptor(ring), IORING_REGISTER_BUFFERS2, table, (int) LAYOUT.byteSize());
      if (result < 0) {
        log.info("no registered buffers, {}: payload is copied", Errno.describe(-result));
      }
      return result >= 0;
    } catch (ReflectiveOperationException | RuntimeException e) {
      log.info("no registered buffers, this Netty keeps its ring to itself: payload is copied", e);
      return false;
    }
  }

  private static int descriptor(IoHandler ring) throws ReflectiveOperationException {
    Field field = ring.getClass().getDeclaredField("ringBuffer");
    field.setAccessible(true);
    Object ringBuffer = field.get(ring);
    Method fd = ringBuffer.getClass().getDeclaredMethod("fd");
    fd.setAccessible(true);
    return (int) fd.invoke(ringBuffer);
  }
}
