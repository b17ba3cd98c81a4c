package io.ublkbridge.nbd;

import java.util.ArrayList;
import java.util.List;

/// Numbers of the NBD protocol under the spec's names ("Values"); all integers are big-endian.
final class NbdProtocol {
  static final int DEFAULT_PORT = 10809;

  /// The longest string (export name, description, error message) that either side may send.
  static final int STRING_BYTES_MAX = 4096;

  // Handshake.
  static final long NBDMAGIC = 0x4e42444d41474943L;
  static final long IHAVEOPT = 0x49484156454f5054L;
  static final long OLDSTYLE_MAGIC = 0x00420281861253L;
  static final long OPTION_REPLY_MAGIC = 0x3e889045565a9L;
  static final int NBD_FLAG_FIXED_NEWSTYLE = 1;
  static final int NBD_FLAG_NO_ZEROES = 1 << 1;
  static final int EXPORT_NAME_ZEROES_BYTES = 124;

  // Options.
  static final int NBD_OPT_EXPORT_NAME = 1;
  static final int NBD_OPT_ABORT = 2;
  static final int NBD_OPT_LIST = 3;
  static final int NBD_OPT_STARTTLS = 5;
  static final int NBD_OPT_INFO = 6;
  static final int NBD_OPT_GO = 7;
  static final int NBD_OPT_STRUCTURED_REPLY = 8;
  static final int NBD_OPT_SET_META_CONTEXT = 10;
  static final int NBD_OPT_EXTENDED_HEADERS = 11;

  // Option replies.
  static final int NBD_REP_ACK = 1;
  static final int NBD_REP_SERVER = 2;
  static final int NBD_REP_INFO = 3;
  static final int NBD_REP_META_CONTEXT = 4;
  static final int NBD_REP_FLAG_ERROR = 1 << 31;
  static final int NBD_REP_ERR_UNSUP = NBD_REP_FLAG_ERROR | 1;
  static final int NBD_REP_ERR_POLICY = NBD_REP_FLAG_ERROR | 2;
  static final int NBD_REP_ERR_INVALID = NBD_REP_FLAG_ERROR | 3;
  static final int NBD_REP_ERR_PLATFORM = NBD_REP_FLAG_ERROR | 4;
  static final int NBD_REP_ERR_TLS_REQD = NBD_REP_FLAG_ERROR | 5;
  static final int NBD_REP_ERR_UNKNOWN = NBD_REP_FLAG_ERROR | 6;
  static final int NBD_REP_ERR_SHUTDOWN = NBD_REP_FLAG_ERROR | 7;
  static final int NBD_REP_ERR_BLOCK_SIZE_REQD = NBD_REP_FLAG_ERROR | 8;
  static final int NBD_REP_ERR_TOO_BIG = NBD_REP_FLAG_ERROR | 9;
  static final int NBD_REP_ERR_EXT_HEADER_REQD = NBD_REP_FLAG_ERROR | 10;

  // Information about an export.
  static final int NBD_INFO_EXPORT = 0;
  static final int NBD_INFO_NAME = 1;
  static final int NBD_INFO_DESCRIPTION = 2;
  static final int NBD_INFO_BLOCK_SIZE = 3;

  // Transmission flags.
  static final int NBD_FLAG_HAS_FLAGS = 1;
  static final int NBD_FLAG_READ_ONLY = 1 << 1;
  static final int NBD_FLAG_SEND_FLUSH = 1 << 2;
  static final int NBD_FLAG_SEND_FUA = 1 << 3;
  static final int NBD_FLAG_ROTATIONAL = 1 << 4;
  static final int NBD_FLAG_SEND_TRIM = 1 << 5;
  static final int NBD_FLAG_SEND_WRITE_ZEROES = 1 << 6;
  static final int NBD_FLAG_CAN_MULTI_CONN = 1 << 8;

  // Requests.
  static final int NBD_REQUEST_MAGIC = 0x25609513;
  static final int REQUEST_BYTES = 28;
  static final int NBD_EXTENDED_REQUEST_MAGIC = 0x21e41c71;
  static final int EXTENDED_REQUEST_BYTES = 32;
  static final int NBD_CMD_READ = 0;
  static final int NBD_CMD_WRITE = 1;
  static final int NBD_CMD_DISC = 2;
  static final int NBD_CMD_FLUSH = 3;
  static final int NBD_CMD_TRIM = 4;
  static final int NBD_CMD_WRITE_ZEROES = 6;
  static final int NBD_CMD_BLOCK_STATUS = 7;
  static final int NBD_CMD_FLAG_FUA = 1;
  static final int NBD_CMD_FLAG_NO_HOLE = 1 << 1;
  static final int NBD_CMD_FLAG_PAYLOAD_LEN = 1 << 5;

  // Replies.
  static final int NBD_SIMPLE_REPLY_MAGIC = 0x67446698;
  static final int NBD_STRUCTURED_REPLY_MAGIC = 0x668e33ef;
  static final int NBD_EXTENDED_REPLY_MAGIC = 0x6e8a278c;
  static final int NBD_REPLY_FLAG_DONE = 1;
  static final int NBD_REPLY_TYPE_NONE = 0;
  static final int NBD_REPLY_TYPE_OFFSET_DATA = 1;
  static final int NBD_REPLY_TYPE_OFFSET_HOLE = 2;
  static final int NBD_REPLY_TYPE_BLOCK_STATUS = 5;
  static final int NBD_REPLY_TYPE_BLOCK_STATUS_EXT = 6;
  static final int NBD_REPLY_TYPE_ERROR = 1 << 15 | 1;
  static final int NBD_REPLY_TYPE_ERROR_OFFSET = 1 << 15 | 2;
  static final int NBD_REPLY_TYPE_FLAG_ERROR = 1 << 15;

  // The metadata context of every server that knows any, and its flags.
  static final String BASE_ALLOCATION = "base:allocation";
  static final int NBD_STATE_HOLE = 1;
  static final int NBD_STATE_ZERO = 1 << 1;

  // Error numbers on the wire.
  static final int NBD_ENOSPC = 28;
  static final int NBD_ENOTSUP = 95;
  static final int NBD_ESHUTDOWN = 108;

  private NbdProtocol() {}

  /// The spec's name of a command, for messages.
  static String commandName(int type) {
    return switch (type) {
      case NBD_CMD_READ -> "READ";
      case NBD_CMD_WRITE -> "WRITE";
      case NBD_CMD_DISC -> "DISC";
      case NBD_CMD_FLUSH -> "FLUSH";
      case NBD_CMD_TRIM -> "TRIM";
      case NBD_CMD_WRITE_ZEROES -> "WRITE_ZEROES";
      case NBD_CMD_BLOCK_STATUS -> "BLOCK_STATUS";
      default -> "command " + type;
    };
  }

  /// The spec's name of an option, for messages.
  static String optionName(int option) {
    return switch (option) {
      case NBD_OPT_EXPORT_NAME -> "EXPORT_NAME";
      case NBD_OPT_ABORT -> "ABORT";
      case NBD_OPT_LIST -> "LIST";
      case NBD_OPT_STARTTLS -> "STARTTLS";
      case NBD_OPT_INFO -> "INFO";
      case NBD_OPT_GO -> "GO";
      case NBD_OPT_STRUCTURED_REPLY -> "STRUCTURED_REPLY";
      case NBD_OPT_SET_META_CONTEXT -> "SET_META_CONTEXT";
      case NBD_OPT_EXTENDED_HEADERS -> "EXTENDED_HEADERS";
      default -> "option " + option;
    };
  }

  /// The spec's name of an error number, for messages.
  static String errorName(int errno) {
    return switch (errno) {
      case 1 -> "EPERM";
      case 5 -> "EIO";
      case 12 -> "ENOMEM";
      case 22 -> "EINVAL";
      case NBD_ENOSPC -> "ENOSPC";
      case 75 -> "EOVERFLOW";
      case NBD_ENOTSUP -> "ENOTSUP";
      case NBD_ESHUTDOWN -> "ESHUTDOWN";
      default -> "error " + Integer.toUnsignedString(errno);
    };
  }

  /// The spec's names of transmission flags, for messages.
  static String transmissionFlagNames(int flags) {
    List<String> names = new ArrayList<>();
    addName(names, flags, NBD_FLAG_SEND_FLUSH, "FLUSH");
    addName(names, flags, NBD_FLAG_SEND_FUA, "FUA");
    addName(names, flags, NBD_FLAG_SEND_TRIM, "TRIM");
    addName(names, flags, NBD_FLAG_SEND_WRITE_ZEROES, "WRITE_ZEROES");
    addName(names, flags, NBD_FLAG_CAN_MULTI_CONN, "CAN_MULTI_CONN");
    return String.join(", ", names);
  }

  private static void addName(List<String> names, int flags, int flag, String name) {
    if ((flags & flag) != 0) {
      names.add(name);
    }
  }
}
