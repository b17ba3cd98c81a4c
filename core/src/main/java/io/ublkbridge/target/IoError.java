package io.ublkbridge.target;

/// Why a request failed, as coarsely as somebody above the disk could act on it.
///
/// The constant's [#errno] is what the kernel is told. Only the numbers that the block layer tells
/// apart are used (`blk_errors[]` in the kernel's `block/blk-core.c`); it turns all others into
/// `EIO`.
public enum IoError {
  /// The target could not do it, and no more is known.
  IO(5, "EIO"),
  /// The target cannot be reached, or its connection was lost while the request was under way.
  UNREACHABLE(67, "ENOLINK"),
  /// What the target returned is not what was stored there.
  CORRUPT(61, "ENODATA"),
  /// The target is full.
  NO_SPACE(28, "ENOSPC"),
  /// The target does not know this operation.
  UNSUPPORTED(95, "EOPNOTSUPP"),
  /// The request did not end before its deadline.
  TIMED_OUT(110, "ETIMEDOUT");

  private final int errno;
  private final String errnoName;

  IoError(int errno, String errnoName) {
    this.errno = errno;
    this.errnoName = errnoName;
  }

  /// The Linux error number, positive.
  public int errno() {
    return errno;
  }

  /// Its name in `errno.h`.
  public String errnoName() {
    return errnoName;
  }
}
