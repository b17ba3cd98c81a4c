package io.ublkbridge.nbd;

import io.ublkbridge.target.IoError;
import java.util.HashSet;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// What the server reports when it cannot do something: turned into an [IoError] for the requester,
/// and into one log line for each kind, never one for each request.
///
/// Confined to one event loop.
final class ServerErrors {
  private static final Logger LOG = LoggerFactory.getLogger(ServerErrors.class);

  /// How many kinds are told apart. There are six commands and eight errors; a server that invents
  /// numbers is not worth more lines.
  private static final int KINDS_MAX = 64;

  private final String server;
  private final Set<Long> logged = new HashSet<>();

  ServerErrors(String server) {
    this.server = server;
  }

  /// Tells of an error, unless the same command failed so before.
  ///
  /// @param errno as it came, not 0
  /// @param text the server's words, cleaned, perhaps empty
  /// @return whether it was told
  boolean report(int command, int errno, String text) {
    boolean isNew =
        logged.size() < KINDS_MAX && logged.add((long) command << 32 | (errno & 0xffff_ffffL));
    if (isNew) {
      LOG.warn(
          "NBD server {} fails {} with {}{}{} (further ones are not logged)",
          server,
          NbdProtocol.commandName(command),
          NbdProtocol.errorName(errno),
          text.isEmpty() ? "" : ": ",
          text);
    }
    return isNew;
  }

  /// What an error number on the wire means to the requester. Unknown ones are to be taken for
  /// EINVAL (spec: "Error values"), which is no more than "it failed".
  static IoError ioError(int errno) {
    return switch (errno) {
      case NbdProtocol.NBD_ENOSPC -> IoError.NO_SPACE;
      case NbdProtocol.NBD_ENOTSUP -> IoError.UNSUPPORTED;
      case NbdProtocol.NBD_ESHUTDOWN -> IoError.UNREACHABLE;
      default -> IoError.IO;
    };
  }
}
