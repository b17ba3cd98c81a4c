package io.ublkbridge.kernel;

/// Constants of `linux/ublk_cmd.h` under their C names.
public final class UblkAbi {
  private UblkAbi() {}

  // Control commands, ioctl-encoded ('u', number, 32 bytes); read-only ones are _IOR, others _IOWR.
  static final int UBLK_U_CMD_ADD_DEV = 0xc0207504;
  static final int UBLK_U_CMD_DEL_DEV = 0xc0207505;
  static final int UBLK_U_CMD_START_DEV = 0xc0207506;
  static final int UBLK_U_CMD_STOP_DEV = 0xc0207507;
  static final int UBLK_U_CMD_SET_PARAMS = 0xc0207508;
  static final int UBLK_U_CMD_GET_PARAMS = 0x80207509;
  static final int UBLK_U_CMD_START_USER_RECOVERY = 0xc0207510;
  static final int UBLK_U_CMD_END_USER_RECOVERY = 0xc0207511;
  static final int UBLK_U_CMD_GET_DEV_INFO2 = 0x80207512;
  static final int UBLK_U_CMD_GET_FEATURES = 0x80207513;
  static final int UBLK_U_CMD_UPDATE_SIZE = 0xc0207515;
  static final int UBLK_U_CMD_QUIESCE_DEV = 0xc0207516;
  static final int UBLK_U_CMD_TRY_STOP_DEV = 0xc0207517;

  // I/O commands, ioctl-encoded ('u', number, 16 bytes).
  static final int UBLK_U_IO_FETCH_REQ = 0xc0107520;
  static final int UBLK_U_IO_COMMIT_AND_FETCH_REQ = 0xc0107521;

  /// A request waits in the tag's io descriptor.
  public static final int UBLK_IO_RES_OK = 0;

  /// The device is going away; the tag is never to be fetched again.
  public static final int UBLK_IO_RES_ABORT = -Errno.ENODEV;

  public static final int UBLK_IO_OP_READ = 0;
  public static final int UBLK_IO_OP_WRITE = 1;
  public static final int UBLK_IO_OP_FLUSH = 2;
  public static final int UBLK_IO_OP_DISCARD = 3;
  public static final int UBLK_IO_OP_WRITE_ZEROES = 5;

  public static final int UBLK_IO_F_FUA = 1 << 13;
  public static final int UBLK_IO_F_NOUNMAP = 1 << 15;

  /// The kernel could not register the request's payload as a buffer of the ring.
  public static final int UBLK_IO_F_NEED_REG_BUF = 1 << 17;

  /// `flags` of `struct ublk_auto_buf_reg`: a request is delivered even if its payload cannot be
  /// registered.
  static final int UBLK_AUTO_BUF_REG_FALLBACK = 1;

  public static final long UBLK_F_USER_RECOVERY = 1L << 3;
  public static final long UBLK_F_USER_RECOVERY_REISSUE = 1L << 4;
  public static final long UBLK_F_CMD_IOCTL_ENCODE = 1L << 6;
  public static final long UBLK_F_USER_COPY = 1L << 7;
  public static final long UBLK_F_UPDATE_SIZE = 1L << 10;
  public static final long UBLK_F_AUTO_BUF_REG = 1L << 11;
  public static final long UBLK_F_QUIESCE = 1L << 12;
  public static final long UBLK_F_SAFE_STOP_DEV = 1L << 17;
  public static final long UBLK_F_NO_AUTO_PART_SCAN = 1L << 18;

  public static final int UBLK_S_DEV_DEAD = 0;
  public static final int UBLK_S_DEV_LIVE = 1;
  public static final int UBLK_S_DEV_QUIESCED = 2;
  public static final int UBLK_S_DEV_FAIL_IO = 3;

  public static final int UBLK_ATTR_READ_ONLY = 1;
  public static final int UBLK_ATTR_ROTATIONAL = 1 << 1;
  public static final int UBLK_ATTR_VOLATILE_CACHE = 1 << 2;
  public static final int UBLK_ATTR_FUA = 1 << 3;

  static final int UBLK_PARAM_TYPE_BASIC = 1;
  static final int UBLK_PARAM_TYPE_DISCARD = 1 << 1;

  public static final int UBLK_MAX_QUEUE_DEPTH = 4096;
  public static final int UBLK_MAX_NR_QUEUES = 4096;

  static final long UBLKSRV_IO_BUF_OFFSET = 0x8000_0000L;
  static final int UBLK_IO_BUF_BITS = 25;
  static final int UBLK_TAG_BITS = 16;

  static final int SECTOR_SHIFT = 9;
}
