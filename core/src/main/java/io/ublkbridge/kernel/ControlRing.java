package io.ublkbridge.kernel;

import static java.lang.foreign.MemoryLayout.PathElement.groupElement;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;

/// An io_uring of one entry with 128-byte submissions, which control commands need and Netty's
/// rings do not have (`io_uring(7)`, `IORING_SETUP_SQE128`).
///
/// Lives for one command: START_DEV and STOP_DEV may block for long, and one must never wait behind
/// the other. Confined to the thread that runs the command.
final class ControlRing implements AutoCloseable {
  private static final int IORING_SETUP_SQE128 = 1 << 10;
  private static final int IORING_ENTER_GETEVENTS = 1;
  private static final long IORING_OFF_SQ_RING = 0;
  private static final long IORING_OFF_SQES = 0x1000_0000L;
  private static final byte IORING_OP_URING_CMD = 46;

  private static final int SQE_BYTES = 128;
  private static final long SQE_FD = 4;
  private static final long SQE_CMD_OP = 8;
  private static final long SQE_CMD = 48;
  private static final long CQE_RES = 8;

  /// `struct io_uring_params` with its `io_sqring_offsets` and `io_cqring_offsets`.
  static final StructLayout PARAMS =
      MemoryLayout.structLayout(
              JAVA_INT.withName("sq_entries"),
              JAVA_INT.withName("cq_entries"),
              JAVA_INT.withName("flags"),
              MemoryLayout.sequenceLayout(7, JAVA_INT).withName("rest"),
              offsets(
                  "sq", "head", "tail", "ring_mask", "ring_entries", "flags", "dropped", "array"),
              offsets(
                  "cq", "head", "tail", "ring_mask", "ring_entries", "overflow", "cqes", "flags"))
          .withName("io_uring_params");

  private static final VarHandle INDEX = JAVA_INT.varHandle();

  private final int fd;
  private final MemorySegment rings;
  private final MemorySegment sqes;
  private final long sqTail;
  private final long sqArray;
  private final long cqHead;
  private final long cqTail;
  private final long cqes;

  private static StructLayout offsets(String name, String... fields) {
    MemoryLayout[] members = new MemoryLayout[fields.length + 2];
    for (int i = 0; i < fields.length; i++) {
      members[i] = JAVA_INT.withName(fields[i]);
    }
    members[fields.length] = JAVA_INT.withName("resv1");
    members[fields.length + 1] = JAVA_LONG.withName("user_addr");
    return MemoryLayout.structLayout(members).withName(name);
  }

  /// @throws UblkException if the kernel gives no ring: io_uring is off, forbidden, or too old
  ControlRing() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment params = arena.allocate(PARAMS);
      params.set(JAVA_INT, PARAMS.byteOffset(groupElement("flags")), IORING_SETUP_SQE128);
      fd = Posix.ioUringSetup(1, params);
      if (fd < 0) {
        throw new UblkException("io_uring_setup", -fd);
      }
      sqTail = field(params, "sq", "tail");
      sqArray = field(params, "sq", "array");
      cqHead = field(params, "cq", "head");
      cqTail = field(params, "cq", "tail");
      cqes = field(params, "cq", "cqes");
      // Both rings lie in one mapping since Linux 5.4; 4 KiB hold two entries and every offset.
      rings = Posix.mmap(fd, 4096, Posix.PROT_READ | Posix.PROT_WRITE, IORING_OFF_SQ_RING);
      sqes = Posix.mmap(fd, SQE_BYTES, Posix.PROT_READ | Posix.PROT_WRITE, IORING_OFF_SQES);
    }
  }

  private static long field(MemorySegment params, String ring, String name) {
    return params.get(JAVA_INT, PARAMS.byteOffset(groupElement(ring), groupElement(name)));
  }

  /// Runs one command and waits for its result. Called once.
  ///
  /// @return what the kernel answers: 0 or more, or a negative error number
  int run(int controlFd, ControlCommand command) {
    sqes.fill((byte) 0);
    sqes.set(JAVA_BYTE, 0, IORING_OP_URING_CMD);
    sqes.set(JAVA_INT, SQE_FD, controlFd);
    sqes.set(JAVA_INT, SQE_CMD_OP, command.operation());
    command.writeTo(sqes.asSlice(SQE_CMD, ControlCommand.LAYOUT.byteSize()));
    rings.set(JAVA_INT, sqArray, 0);
    INDEX.setRelease(rings, sqTail, 1);
    int toSubmit = 1;
    while ((int) INDEX.getAcquire(rings, cqTail) == rings.get(JAVA_INT, cqHead)) {
      int entered = Posix.ioUringEnter(fd, toSubmit, 1, IORING_ENTER_GETEVENTS);
      if (entered >= 0) {
        toSubmit = 0;
      } else if (entered != -Errno.EINTR) {
        throw new UblkException("io_uring_enter", -entered);
      }
    }
    return rings.get(ValueLayout.JAVA_INT, cqes + CQE_RES);
  }

  @Override
  public void close() {
    Posix.munmap(sqes);
    Posix.munmap(rings);
    Posix.close(fd);
  }
}
