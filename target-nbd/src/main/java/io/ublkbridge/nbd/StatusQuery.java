package io.ublkbridge.nbd;

import io.ublkbridge.target.InternalRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/// One BLOCK_STATUS request and the extents of its answer, those alike joined (spec:
/// "NBD_CMD_BLOCK_STATUS").
///
/// Filled on the connection's event loop; whoever asks reads it once [#end] is complete.
final class StatusQuery extends InternalRequest {
  /// The most descriptors that the spec allows in one answer.
  static final int DESCRIPTORS_MAX = 1 << 20;

  private static final long KNOWN_FLAGS = NbdProtocol.NBD_STATE_HOLE | NbdProtocol.NBD_STATE_ZERO;

  private final int context;
  private final long offsetBytes;
  private final long lengthBytes;
  private final CompletableFuture<@Nullable IoError> end = new CompletableFuture<>();

  private boolean begun;
  private long coveredBytes;

  /// Where each extent ends, counted from [#offsetBytes], and its flags.
  private long[] ends = new long[16];

  private byte[] flags = new byte[16];
  private int count;

  /// @param context the id of `base:allocation` on this connection
  StatusQuery(int context, long offsetBytes, long lengthBytes) {
    // A query reads, though not data.
    super(Operation.READ);
    this.context = context;
    this.offsetBytes = offsetBytes;
    this.lengthBytes = lengthBytes;
  }

  /// Begins the only chunk of descriptors that there may be.
  void begin(int chunkContext) throws ProtocolViolation {
    if (chunkContext != context || begun) {
      throw new ProtocolViolation("sent the status of a metadata context that was not chosen");
    }
    begun = true;
  }

  /// Takes one descriptor. Only the last of an answer may reach beyond what was asked for.
  ///
  /// @param length unsigned
  void descriptor(long length, long status) throws ProtocolViolation {
    if (length == 0) {
      throw new ProtocolViolation("sent the status of no bytes");
    }
    if (length < 0 || coveredBytes >= lengthBytes) {
      throw new ProtocolViolation("sent the status of bytes that it was not asked for");
    }
    coveredBytes += Math.min(length, lengthBytes - coveredBytes);
    byte known = (byte) (status & KNOWN_FLAGS);
    if (count > 0 && flags[count - 1] == known) {
      ends[count - 1] = coveredBytes;
      return;
    }
    if (count == ends.length) {
      ends = Arrays.copyOf(ends, 2 * count);
      flags = Arrays.copyOf(flags, 2 * count);
    }
    ends[count] = coveredBytes;
    flags[count++] = known;
  }

  /// Whether the answer said anything.
  boolean answered() {
    return count > 0;
  }

  int count() {
    return count;
  }

  /// Where extent `index` ends on the disk; the first begins at [#offsetBytes], and each other
  /// where the one before ends.
  long endBytes(int index) {
    return offsetBytes + ends[index];
  }

  /// The `NBD_STATE_*` of extent `index`.
  int flags(int index) {
    return flags[index];
  }

  /// Why it failed, or null.
  CompletableFuture<@Nullable IoError> end() {
    return end;
  }

  @Override
  public long offsetBytes() {
    return offsetBytes;
  }

  @Override
  public long lengthBytes() {
    return lengthBytes;
  }

  @Override
  public void complete() {
    end.complete(null);
  }

  @Override
  public void fail(IoError error, @Nullable Throwable cause) {
    if (cause == null) {
      end.complete(error);
    } else {
      end.completeExceptionally(cause);
    }
  }
}
