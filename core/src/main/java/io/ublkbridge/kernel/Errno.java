package io.ublkbridge.kernel;

/// Linux error numbers that this program meets, and their names for messages.
public final class Errno {
  public static final int EPERM = 1;
  public static final int ENOENT = 2;
  public static final int EINTR = 4;
  public static final int EIO = 5;
  public static final int EAGAIN = 11;
  public static final int EACCES = 13;
  public static final int EFAULT = 14;
  public static final int EBUSY = 16;
  public static final int EEXIST = 17;
  public static final int ENODEV = 19;
  public static final int EINVAL = 22;
  public static final int ENOSPC = 28;
  public static final int EROFS = 30;
  public static final int ENOSYS = 38;
  public static final int EOPNOTSUPP = 95;
  public static final int EAFNOSUPPORT = 97;
  public static final int ENETUNREACH = 101;
  public static final int ECONNRESET = 104;
  public static final int ENOTCONN = 107;
  public static final int ETIMEDOUT = 110;
  public static final int ECONNREFUSED = 111;
  public static final int EDQUOT = 122;
  public static final int ECANCELED = 125;

  private Errno() {}

  /// What the number means, for a person: `EBUSY (device or resource busy)`.
  ///
  /// @param errno positive
  public static String describe(int errno) {
    return switch (errno) {
      case EPERM -> "EPERM (operation not permitted)";
      case ENOENT -> "ENOENT (no such file or directory)";
      case EINTR -> "EINTR (interrupted)";
      case EIO -> "EIO (input/output error)";
      case EAGAIN -> "EAGAIN (try again)";
      case EACCES -> "EACCES (permission denied)";
      case EFAULT -> "EFAULT (bad address)";
      case EBUSY -> "EBUSY (device or resource busy)";
      case EEXIST -> "EEXIST (exists already)";
      case ENODEV -> "ENODEV (no such device)";
      case EINVAL -> "EINVAL (invalid argument)";
      case ENOSPC -> "ENOSPC (no space left)";
      case EROFS -> "EROFS (read-only file system)";
      case ENOSYS -> "ENOSYS (not in this kernel)";
      case EOPNOTSUPP -> "EOPNOTSUPP (not supported)";
      case EAFNOSUPPORT -> "EAFNOSUPPORT (address family not supported)";
      case ENETUNREACH -> "ENETUNREACH (network is unreachable)";
      case ECONNRESET -> "ECONNRESET (connection reset)";
      case ENOTCONN -> "ENOTCONN (not connected)";
      case ETIMEDOUT -> "ETIMEDOUT (timed out)";
      case ECONNREFUSED -> "ECONNREFUSED (connection refused)";
      case EDQUOT -> "EDQUOT (disk quota exceeded)";
      case ECANCELED -> "ECANCELED (canceled)";
      default -> "errno " + errno;
    };
  }
}
