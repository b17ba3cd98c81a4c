package io.ublkbridge.kernel;

import static java.lang.foreign.MemoryLayout.PathElement.groupElement;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;

/// One request as the kernel describes it: `struct ublksrv_io_desc`, 24 bytes, read-only to us.
///
/// Valid from the moment the tag's completion is seen until its commit is submitted. Each accessor
/// takes the queue's whole mapping and a tag.
public final class IoDescriptor {
  public static final StructLayout LAYOUT =
      MemoryLayout.structLayout(
              JAVA_INT.withName("op_flags"),
              JAVA_INT.withName("nr_sectors"),
              JAVA_LONG.withName("start_sector"),
              JAVA_LONG.withName("addr"))
          .withName("ublksrv_io_desc");

  private static final long SIZE = LAYOUT.byteSize();
  private static final long OP_FLAGS = LAYOUT.byteOffset(groupElement("op_flags"));
  private static final long NR_SECTORS = LAYOUT.byteOffset(groupElement("nr_sectors"));
  private static final long START_SECTOR = LAYOUT.byteOffset(groupElement("start_sector"));
  private static final int OP_MASK = 0xff;

  private IoDescriptor() {}

  /// The operation and its flags in one word, for the accessors below.
  public static int opFlags(MemorySegment descriptors, int tag) {
    return descriptors.get(JAVA_INT, tag * SIZE + OP_FLAGS);
  }

  /// What is asked for: `UBLK_IO_OP_*`.
  public static int operation(int opFlags) {
    return opFlags & OP_MASK;
  }

  public static boolean durable(int opFlags) {
    return (opFlags & UblkAbi.UBLK_IO_F_FUA) != 0;
  }

  public static boolean mayUnmap(int opFlags) {
    return (opFlags & UblkAbi.UBLK_IO_F_NOUNMAP) == 0;
  }

  /// Whether the kernel has registered the payload, if the device asks for that.
  public static boolean payloadRegistered(int opFlags) {
    return (opFlags & UblkAbi.UBLK_IO_F_NEED_REG_BUF) == 0;
  }

  /// Where the range starts; meaningless for FLUSH, where the kernel writes all ones.
  public static long offsetBytes(MemorySegment descriptors, int tag) {
    return descriptors.get(JAVA_LONG, tag * SIZE + START_SECTOR) << UblkAbi.SECTOR_SHIFT;
  }

  public static long lengthBytes(MemorySegment descriptors, int tag) {
    return Integer.toUnsignedLong(descriptors.get(JAVA_INT, tag * SIZE + NR_SECTORS))
        << UblkAbi.SECTOR_SHIFT;
  }

  /// Writes a descriptor as the kernel would: for simulated drivers.
  public static void write(
      MemorySegment descriptors, int tag, int opFlags, long offsetBytes, long lengthBytes) {
    descriptors.set(JAVA_INT, tag * SIZE + OP_FLAGS, opFlags);
    descriptors.set(
        JAVA_INT, tag * SIZE + NR_SECTORS, (int) (lengthBytes >>> UblkAbi.SECTOR_SHIFT));
    descriptors.set(JAVA_LONG, tag * SIZE + START_SECTOR, offsetBytes >>> UblkAbi.SECTOR_SHIFT);
  }
}
