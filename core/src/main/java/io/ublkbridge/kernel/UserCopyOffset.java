package io.ublkbridge.kernel;

/// File positions on `/dev/ublkcN` that stand for bytes of a request (`UBLK_F_USER_COPY`).
///
/// ```
///  bit 52        41 40          25 24           0
///     [ queue (12) ][ tag (16)    ][ byte (25)   ]   + 0x80000000
/// ```
final class UserCopyOffset {
  private UserCopyOffset() {}

  static long of(int queue, int tag, long at) {
    return UblkAbi.UBLKSRV_IO_BUF_OFFSET
        + ((long) queue << (UblkAbi.UBLK_TAG_BITS + UblkAbi.UBLK_IO_BUF_BITS))
        + ((long) tag << UblkAbi.UBLK_IO_BUF_BITS)
        + at;
  }
}
