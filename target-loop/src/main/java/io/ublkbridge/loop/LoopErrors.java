package io.ublkbridge.loop;

import static io.ublkbridge.kernel.Errno.EAGAIN;
import static io.ublkbridge.kernel.Errno.EFAULT;
import static io.ublkbridge.kernel.Errno.EINTR;
import static io.ublkbridge.kernel.Errno.EINVAL;
import static io.ublkbridge.kernel.Errno.ENOSPC;
import static io.ublkbridge.kernel.Errno.ENOSYS;
import static io.ublkbridge.kernel.Errno.EOPNOTSUPP;

import io.ublkbridge.target.IoError;

/// What error numbers of file I/O mean for the request (`asm-generic/errno.h`).
final class LoopErrors {
  private static final int ENODATA = 61;
  private static final int ENOLINK = 67;
  private static final int EBADMSG = 74;
  private static final int EILSEQ = 84;
  private static final int ETIMEDOUT = 110;
  private static final int EUCLEAN = 117;
  private static final int EDQUOT = 122;

  private LoopErrors() {}

  /// Whether the same step may work when it is tried again at once.
  static boolean transientErrno(int errno) {
    return errno == EINTR || errno == EAGAIN;
  }

  /// Whether the file system does not know the kind of zeroing, or not for this range.
  static boolean cannotZero(int errno) {
    return errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL;
  }

  /// Whether the kernel or the file system cannot move bytes from or to a registered buffer here.
  static boolean cannotUseInPlace(int errno) {
    return errno == EOPNOTSUPP || errno == EINVAL || errno == EFAULT;
  }

  static IoError of(int errno) {
    return switch (errno) {
      case ENOSPC, EDQUOT -> IoError.NO_SPACE;
      case EOPNOTSUPP, ENOSYS -> IoError.UNSUPPORTED;
      case ENODATA, EBADMSG, EILSEQ, EUCLEAN -> IoError.CORRUPT;
      case ENOLINK -> IoError.UNREACHABLE;
      case ETIMEDOUT -> IoError.TIMED_OUT;
      default -> IoError.IO;
    };
  }
}
