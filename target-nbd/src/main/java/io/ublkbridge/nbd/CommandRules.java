package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_FLAG_FUA;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_FLAG_NO_HOLE;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_FLUSH;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_READ;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_TRIM;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_WRITE;
import static io.ublkbridge.nbd.NbdProtocol.NBD_CMD_WRITE_ZEROES;
import static io.ublkbridge.nbd.NbdProtocol.NBD_FLAG_SEND_FLUSH;
import static io.ublkbridge.nbd.NbdProtocol.NBD_FLAG_SEND_FUA;

import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import org.jspecify.annotations.Nullable;

/// Which command, with which flags, a request becomes on one export, and which must not be sent.
/// Immutable.
final class CommandRules {
  private volatile Geometry geometry;
  private final Capabilities capabilities;
  private final boolean serverFlushes;
  private final boolean serverHasFua;

  CommandRules(Geometry geometry, ExportInfo info) {
    this.geometry = geometry;
    this.capabilities = info.capabilities(1);
    this.serverFlushes = info.has(NBD_FLAG_SEND_FLUSH);
    this.serverHasFua = info.has(NBD_FLAG_SEND_FUA);
  }

  /// Lets requests reach up to another end. From every thread.
  void resize(long sizeBytes) {
    geometry = geometry.ofSize(sizeBytes);
  }

  /// Whether FLUSH may be sent. A server that knows none promises that a completed write needs
  /// none.
  boolean serverFlushes() {
    return serverFlushes;
  }

  /// The shortest request.
  int blockBytes() {
    return geometry.blockBytes();
  }

  /// The spec's `NBD_CMD_*` for an operation.
  static int type(Operation operation) {
    return switch (operation) {
      case READ -> NBD_CMD_READ;
      case WRITE -> NBD_CMD_WRITE;
      case FLUSH -> NBD_CMD_FLUSH;
      case DISCARD -> NBD_CMD_TRIM;
      case WRITE_ZEROES -> NBD_CMD_WRITE_ZEROES;
    };
  }

  /// The command flags of a request.
  int flags(BlockRequest request) {
    int fua = request.durable() && serverHasFua ? NBD_CMD_FLAG_FUA : 0;
    return switch (request.operation()) {
      case READ, FLUSH -> 0;
      case WRITE, DISCARD -> fua;
      case WRITE_ZEROES -> fua | (request.mayUnmap() ? 0 : NBD_CMD_FLAG_NO_HOLE);
    };
  }

  /// Why a request must not be sent, or null. The device asks for nothing of this; a request beyond
  /// the limits would make the server end the connection for all the others.
  @Nullable IoError refusal(BlockRequest request) {
    long length = request.lengthBytes();
    long offset = request.offsetBytes();
    switch (request.operation()) {
      case FLUSH -> {
        return length == 0 && offset == 0 ? null : IoError.IO;
      }
      case READ, WRITE -> {
        if (length > geometry.maxIoBytes()) {
          return IoError.IO;
        }
      }
      case DISCARD, WRITE_ZEROES -> {
        if (length > geometry.maxZeroBytes()) {
          return IoError.IO;
        }
      }
    }
    if (length <= 0 || offset < 0 || offset > geometry.sizeBytes() - length) {
      return IoError.IO;
    }
    if (!capabilities.allows(request.operation())) {
      return IoError.UNSUPPORTED;
    }
    // Without FUA the requester must write and then flush; that it does not is its mistake.
    return request.durable() && serverFlushes && !serverHasFua ? IoError.UNSUPPORTED : null;
  }
}
