package io.ublkbridge.nbd;

import static io.ublkbridge.nbd.NbdProtocol.NBD_INFO_BLOCK_SIZE;
import static io.ublkbridge.nbd.NbdProtocol.NBD_INFO_DESCRIPTION;
import static io.ublkbridge.nbd.NbdProtocol.NBD_INFO_EXPORT;
import static io.ublkbridge.nbd.NbdProtocol.NBD_INFO_NAME;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REP_ACK;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REP_FLAG_ERROR;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REP_INFO;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REP_META_CONTEXT;
import static io.ublkbridge.nbd.NbdProtocol.NBD_REP_SERVER;

import io.netty.buffer.ByteBuf;
import java.nio.charset.StandardCharsets;

/// One reply to an option, without its header (spec: "Option reply types").
sealed interface OptionReply {
  /// The option is done.
  record Ack() implements OptionReply {}

  /// One export of the list; the description may be empty.
  record Server(String name, String description) implements OptionReply {}

  /// A metadata context that was chosen, and what replies call it.
  record MetaContext(int id, String name) implements OptionReply {}

  /// Size and transmission flags of the export.
  record Export(long sizeBytes, int flags) implements OptionReply {}

  /// The export's canonical name.
  record Name(String name) implements OptionReply {}

  /// What the server says about the export to people.
  record Description(String description) implements OptionReply {}

  /// The export's block sizes, each unsigned 32 bit.
  record BlockSize(ExportInfo.BlockSizes sizes) implements OptionReply {}

  /// Information that this client has no use for, and must ignore.
  record OtherInfo(int type) implements OptionReply {}

  /// The option is refused: `type` is one of the spec's `NBD_REP_ERR_*`, `text` the server's own
  /// words, cleaned, perhaps empty.
  record Refusal(int type, String text) implements OptionReply {}

  private static void requireLength(String what, ByteBuf data, int length)
      throws ProtocolViolation {
    if (data.readableBytes() != length) {
      throw new ProtocolViolation(
          "sent " + what + " of " + data.readableBytes() + " bytes instead of " + length);
    }
  }

  /// Takes a reply apart.
  ///
  /// @param data exactly the reply's data; read, not released
  /// @throws ProtocolViolation if its length does not fit its type, or the type is unknown
  static OptionReply parse(int type, ByteBuf data) throws ProtocolViolation {
    if ((type & NBD_REP_FLAG_ERROR) != 0) {
      return new Refusal(type, ServerText.read(data, data.readableBytes()));
    }
    return switch (type) {
      case NBD_REP_ACK -> {
        requireLength("an ACK", data, 0);
        yield new Ack();
      }
      case NBD_REP_SERVER -> server(data);
      case NBD_REP_INFO -> info(data);
      case NBD_REP_META_CONTEXT -> metaContext(data);
      default ->
          throw new ProtocolViolation("sent option reply type " + Integer.toUnsignedString(type));
    };
  }

  private static OptionReply server(ByteBuf data) throws ProtocolViolation {
    long nameBytes = data.readableBytes() < 4 ? Long.MAX_VALUE : data.readUnsignedInt();
    if (nameBytes > Math.min(data.readableBytes(), NbdProtocol.STRING_BYTES_MAX)) {
      throw new ProtocolViolation("sent a list entry whose name is longer than the entry");
    }
    String name = data.readCharSequence((int) nameBytes, StandardCharsets.UTF_8).toString();
    return new Server(name, ServerText.read(data, data.readableBytes()));
  }

  private static OptionReply metaContext(ByteBuf data) throws ProtocolViolation {
    if (data.readableBytes() < 4) {
      throw new ProtocolViolation("sent a metadata context without an id");
    }
    return new MetaContext(data.readInt(), ServerText.read(data, data.readableBytes()));
  }

  private static OptionReply info(ByteBuf data) throws ProtocolViolation {
    if (data.readableBytes() < 2) {
      throw new ProtocolViolation("sent information without a type");
    }
    int type = data.readUnsignedShort();
    return switch (type) {
      case NBD_INFO_EXPORT -> {
        requireLength("export information", data, 10);
        yield new Export(data.readLong(), data.readUnsignedShort());
      }
      case NBD_INFO_NAME -> new Name(ServerText.read(data, data.readableBytes()));
      case NBD_INFO_DESCRIPTION -> new Description(ServerText.read(data, data.readableBytes()));
      case NBD_INFO_BLOCK_SIZE -> {
        requireLength("block sizes", data, 12);
        yield new BlockSize(
            new ExportInfo.BlockSizes(
                data.readUnsignedInt(), data.readUnsignedInt(), data.readUnsignedInt()));
      }
      default -> new OtherInfo(type);
    };
  }
}
