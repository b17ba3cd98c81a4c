package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.NbdProtocol.NBD_FLAG_CAN_MULTI_CONN;
import static io.ublkbridge.nbd.NbdProtocol.NBD_FLAG_READ_ONLY;
import static io.ublkbridge.nbd.NbdProtocol.NBD_FLAG_ROTATIONAL;
import static io.ublkbridge.nbd.NbdProtocol.NBD_FLAG_SEND_FLUSH;
import static io.ublkbridge.nbd.NbdProtocol.NBD_FLAG_SEND_FUA;
import static io.ublkbridge.nbd.NbdProtocol.NBD_FLAG_SEND_TRIM;
import static io.ublkbridge.nbd.NbdProtocol.NBD_FLAG_SEND_WRITE_ZEROES;

import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/// What one connection negotiated about its export.
///
/// Two connections to the same export must have equal ones: everything that a request's meaning or
/// limits depend on is in here, and nothing else.
///
/// @param sizeBytes unsigned, as the server sent it
/// @param flags the transmission flags, unknown bits included
/// @param blockSizes as the server sent them, or the spec's defaults
/// @param headers what requests and replies look like
record ExportInfo(long sizeBytes, int flags, BlockSizes blockSizes, HeaderForm headers) {

  /// The longest READ or WRITE that is ever sent, whatever the server would take: longer ones gain
  /// nothing and hold up those behind them.
  static final int MAX_IO_BYTES = 4 << 20;

  /// The longest TRIM or WRITE_ZEROES. The protocol allows 4 GiB, or any length with extended
  /// headers, but the server may have to write the zeroes, and must answer before the request's
  /// deadline.
  static final int MAX_ZERO_BYTES = 128 << 20;

  private static final int MAX_IO_UNIT_BYTES = 4096;

  /// What the device was built on, and so must not lose.
  private static final int REQUIRED_FLAGS =
      NBD_FLAG_SEND_FLUSH
          | NBD_FLAG_SEND_FUA
          | NBD_FLAG_SEND_TRIM
          | NBD_FLAG_SEND_WRITE_ZEROES
          | NBD_FLAG_CAN_MULTI_CONN;

  /// The spec's "Size constraints", each unsigned 32 bit.
  record BlockSizes(long minimum, long preferred, long maximum) {
    /// What holds when the server says nothing.
    static final BlockSizes DEFAULT = new BlockSizes(1, 4096, 32 << 20);

    private static final long MINIMUM_MAX = 64 << 10;

    /// Whether these follow the spec's rules; a server that breaks them means something unknown.
    boolean consistent() {
      return Long.bitCount(minimum) == 1
          && minimum <= MINIMUM_MAX
          && Long.bitCount(preferred) == 1
          && preferred >= minimum
          && maximum >= preferred;
    }
  }

  boolean has(int flag) {
    return (flags & flag) != 0;
  }

  boolean multiConn() {
    return has(NBD_FLAG_CAN_MULTI_CONN);
  }

  /// What the queue may do; nothing is used whose flag is clear.
  Capabilities capabilities(int queues) {
    boolean readOnly = has(NBD_FLAG_READ_ONLY);
    boolean flush = has(NBD_FLAG_SEND_FLUSH);
    return new Capabilities(
        readOnly,
        flush,
        flush && has(NBD_FLAG_SEND_FUA),
        !readOnly && has(NBD_FLAG_SEND_TRIM),
        !readOnly && has(NBD_FLAG_SEND_WRITE_ZEROES),
        has(NBD_FLAG_ROTATIONAL),
        queues);
  }

  /// The disk's geometry. A tail shorter than a block cannot be reached and is left out.
  ///
  /// @throws TargetOpenException if a block device cannot be made of this export
  Geometry geometry() throws TargetOpenException {
    int block = (int) Math.max(Geometry.MIN_BLOCK_BYTES, blockSizes.minimum());
    if (block > Geometry.MAX_BLOCK_BYTES) {
      throw unsupported(
          "the export's smallest block is "
              + block
              + " bytes, and a disk's can be "
              + Geometry.MAX_BLOCK_BYTES
              + " at most",
          "let the server allow smaller requests (nbdkit: --filter=blocksize)");
    }
    if (sizeBytes < 0) {
      throw unsupported(
          "the export claims a size of "
              + Long.toUnsignedString(sizeBytes)
              + " bytes, more than a disk can have",
          null);
    }
    if (sizeBytes < block) {
      throw unsupported(
          sizeBytes == 0
              ? "the export is empty"
              : "the export is smaller than one block of " + block + " bytes",
          null);
    }
    long maxIo = Math.min(MAX_IO_BYTES, blockSizes.maximum());
    if (maxIo < MAX_IO_UNIT_BYTES) {
      throw unsupported(
          "the server takes no request longer than "
              + maxIo
              + " bytes, and a disk needs "
              + MAX_IO_UNIT_BYTES,
          null);
    }
    return new Geometry(
        sizeBytes - sizeBytes % block,
        block,
        (int) Math.max(block, Math.min(blockSizes.preferred(), MAX_IO_BYTES)),
        (int) (maxIo - maxIo % MAX_IO_UNIT_BYTES),
        MAX_ZERO_BYTES);
  }

  /// As [Negotiated#differenceOf]. A server that can do more than before is welcome.
  Optional<String> differenceOf(ExportInfo later) {
    if (later.sizeBytes != sizeBytes) {
      return Optional.of(
          "its size was " + sizeBytes + " bytes and is " + Long.toUnsignedString(later.sizeBytes));
    }
    if (!has(NBD_FLAG_READ_ONLY) && later.has(NBD_FLAG_READ_ONLY)) {
      return Optional.of("it is read-only now");
    }
    int gone = flags & ~later.flags & REQUIRED_FLAGS;
    if (gone != 0) {
      return Optional.of("it lacks what it had: " + NbdProtocol.transmissionFlagNames(gone));
    }
    if (later.blockSizes.minimum() > Math.max(Geometry.MIN_BLOCK_BYTES, blockSizes.minimum())) {
      return Optional.of("its smallest request is " + later.blockSizes.minimum() + " bytes now");
    }
    if (later.blockSizes.maximum() < Math.min(MAX_IO_BYTES, blockSizes.maximum())) {
      return Optional.of("its longest request is " + later.blockSizes.maximum() + " bytes now");
    }
    return Optional.empty();
  }

  private static TargetOpenException unsupported(String message, @Nullable String remedy) {
    return new TargetOpenException(Reason.UNSUPPORTED, message, remedy);
  }
}
