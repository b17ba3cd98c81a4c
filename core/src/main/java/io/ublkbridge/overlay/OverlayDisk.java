package io.ublkbridge.overlay;

import io.ublkbridge.kernel.Errno;
import io.ublkbridge.target.IoError;
import java.io.IOException;

/// An overlay that is in use: which file it is, and what is known of its blocks.
///
/// @param name the file's path, for messages
/// @param storage for control threads, before the queue is opened and after its last request
record OverlayDisk(String name, OverlayHeader header, BlockMap map, OverlayStorage storage) {
  /// `asm-generic/errno.h`.
  private static final int EDQUOT = 122;

  OverlayLayout layout() {
    return header.layout();
  }

  /// Whether the same operation may work when it is tried again at once.
  static boolean transientErrno(int errno) {
    return errno == Errno.EINTR || errno == Errno.EAGAIN;
  }

  static boolean full(int errno) {
    return errno == Errno.ENOSPC || errno == EDQUOT;
  }

  static IoError errorOf(int errno) {
    return full(errno) ? IoError.NO_SPACE : IoError.IO;
  }

  /// What an operation on the file failed with.
  IOException failure(String operation, int errno) {
    return new IOException(operation + " of the overlay " + name + ": " + Errno.describe(errno));
  }
}
