package io.ublkbridge.kernel;

import static java.lang.foreign.MemoryLayout.PathElement.groupElement;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemoryLayout.PathElement;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;

/// The disk's parameters as the block layer gets them: the head of `struct ublk_params`, up to and
/// with its discard part (60 bytes; every kernel takes a shorter struct). All sizes in bytes.
///
/// @param attributes `UBLK_ATTR_*`
/// @param blockBytes logical block size
/// @param ioMinimumBytes the unit below which a write costs a read, as a hint; a power of two
/// @param ioOptimalBytes the unit to prefer, as a hint; a power of two
/// @param maxIoBytes the longest READ or WRITE
/// @param sizeBytes how long the disk is
/// @param maxDiscardBytes the longest DISCARD; 0 for none at all
/// @param maxWriteZeroesBytes the longest WRITE_ZEROES; 0 makes the kernel write zero pages
public record UblkParams(
    int attributes,
    int blockBytes,
    int ioMinimumBytes,
    int ioOptimalBytes,
    int maxIoBytes,
    long sizeBytes,
    long maxDiscardBytes,
    long maxWriteZeroesBytes) {
  static final StructLayout LAYOUT =
      MemoryLayout.structLayout(
              JAVA_INT.withName("len"),
              JAVA_INT.withName("types"),
              MemoryLayout.structLayout(
                      JAVA_INT.withName("attrs"),
                      JAVA_BYTE.withName("logical_bs_shift"),
                      JAVA_BYTE.withName("physical_bs_shift"),
                      JAVA_BYTE.withName("io_opt_shift"),
                      JAVA_BYTE.withName("io_min_shift"),
                      JAVA_INT.withName("max_sectors"),
                      JAVA_INT.withName("chunk_sectors"),
                      JAVA_LONG.withName("dev_sectors"),
                      JAVA_LONG.withName("virt_boundary_mask"))
                  .withName("basic"),
              MemoryLayout.structLayout(
                      JAVA_INT.withName("discard_alignment"),
                      JAVA_INT.withName("discard_granularity"),
                      JAVA_INT.withName("max_discard_sectors"),
                      JAVA_INT.withName("max_write_zeroes_sectors"),
                      JAVA_SHORT.withName("max_discard_segments"),
                      JAVA_SHORT.withName("reserved0"))
                  .withName("discard"))
          .withName("ublk_params");

  private static final long LEN = LAYOUT.byteOffset(groupElement("len"));
  private static final long TYPES = LAYOUT.byteOffset(groupElement("types"));
  private static final long ATTRS = basic("attrs");
  private static final long LOGICAL_BS_SHIFT = basic("logical_bs_shift");
  private static final long PHYSICAL_BS_SHIFT = basic("physical_bs_shift");
  private static final long IO_OPT_SHIFT = basic("io_opt_shift");
  private static final long IO_MIN_SHIFT = basic("io_min_shift");
  private static final long MAX_SECTORS = basic("max_sectors");
  private static final long DEV_SECTORS = basic("dev_sectors");
  private static final long DISCARD_GRANULARITY = discard("discard_granularity");
  private static final long MAX_DISCARD_SECTORS = discard("max_discard_sectors");
  private static final long MAX_WRITE_ZEROES_SECTORS = discard("max_write_zeroes_sectors");
  private static final long MAX_DISCARD_SEGMENTS = discard("max_discard_segments");

  private static long basic(String field) {
    return LAYOUT.byteOffset(groupElement("basic"), PathElement.groupElement(field));
  }

  private static long discard(String field) {
    return LAYOUT.byteOffset(groupElement("discard"), PathElement.groupElement(field));
  }

  void writeTo(MemorySegment target) {
    target.fill((byte) 0);
    target.set(JAVA_INT, LEN, (int) LAYOUT.byteSize());
    target.set(JAVA_INT, TYPES, types());
    target.set(JAVA_INT, ATTRS, attributes);
    target.set(JAVA_BYTE, LOGICAL_BS_SHIFT, shift(blockBytes));
    target.set(JAVA_BYTE, PHYSICAL_BS_SHIFT, shift(ioMinimumBytes));
    target.set(JAVA_BYTE, IO_OPT_SHIFT, shift(ioOptimalBytes));
    target.set(JAVA_BYTE, IO_MIN_SHIFT, shift(ioMinimumBytes));
    target.set(JAVA_INT, MAX_SECTORS, maxIoBytes >>> UblkAbi.SECTOR_SHIFT);
    target.set(JAVA_LONG, DEV_SECTORS, sizeBytes >>> UblkAbi.SECTOR_SHIFT);
    if ((types() & UblkAbi.UBLK_PARAM_TYPE_DISCARD) != 0) {
      target.set(JAVA_INT, DISCARD_GRANULARITY, Math.max(blockBytes, ioMinimumBytes));
      target.set(JAVA_INT, MAX_DISCARD_SECTORS, sectors(maxDiscardBytes));
      target.set(JAVA_INT, MAX_WRITE_ZEROES_SECTORS, sectors(maxWriteZeroesBytes));
      // The driver refuses any other number when there is a limit, and 0 segments when there is
      // none.
      target.set(JAVA_SHORT, MAX_DISCARD_SEGMENTS, (short) 1);
    }
  }

  static UblkParams readFrom(MemorySegment source) {
    boolean discards = (source.get(JAVA_INT, TYPES) & UblkAbi.UBLK_PARAM_TYPE_DISCARD) != 0;
    return new UblkParams(
        source.get(JAVA_INT, ATTRS),
        1 << source.get(JAVA_BYTE, LOGICAL_BS_SHIFT),
        1 << source.get(JAVA_BYTE, IO_MIN_SHIFT),
        1 << source.get(JAVA_BYTE, IO_OPT_SHIFT),
        source.get(JAVA_INT, MAX_SECTORS) << UblkAbi.SECTOR_SHIFT,
        source.get(JAVA_LONG, DEV_SECTORS) << UblkAbi.SECTOR_SHIFT,
        discards ? bytes(source.get(JAVA_INT, MAX_DISCARD_SECTORS)) : 0,
        discards ? bytes(source.get(JAVA_INT, MAX_WRITE_ZEROES_SECTORS)) : 0);
  }

  public boolean isReadOnly() {
    return (attributes & UblkAbi.UBLK_ATTR_READ_ONLY) != 0;
  }

  /// The same as the kernel gives it back, with limits that do not fit lowered.
  public UblkParams asKept() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment memory = arena.allocate(LAYOUT);
      writeTo(memory);
      return readFrom(memory);
    }
  }

  private int types() {
    boolean discards = maxDiscardBytes > 0 || maxWriteZeroesBytes > 0;
    return UblkAbi.UBLK_PARAM_TYPE_BASIC | (discards ? UblkAbi.UBLK_PARAM_TYPE_DISCARD : 0);
  }

  private static byte shift(int powerOfTwo) {
    return (byte) Integer.numberOfTrailingZeros(powerOfTwo);
  }

  /// A limit in sectors: what does not fit is lowered to whole megabytes that do.
  private static int sectors(long limitBytes) {
    long most = 0x7fff_f800L;
    return (int) Math.min(limitBytes >>> UblkAbi.SECTOR_SHIFT, most);
  }

  private static long bytes(int sectors) {
    return Integer.toUnsignedLong(sectors) << UblkAbi.SECTOR_SHIFT;
  }
}
