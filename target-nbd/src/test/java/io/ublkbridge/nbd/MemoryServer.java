package io.ublkbridge.nbd;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.ublkbridge.nbd.ScriptedServer.Option;
import io.ublkbridge.nbd.ScriptedServer.Request;
import io.ublkbridge.nbd.ScriptedServer.Wire;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/// An honest server of one export in memory, and the requests that it has seen.
final class MemoryServer implements ScriptedServer.Script {
  /// Everything that a client can be offered.
  static final int ALL_FLAGS =
      NbdProtocol.NBD_FLAG_HAS_FLAGS
          | NbdProtocol.NBD_FLAG_SEND_FLUSH
          | NbdProtocol.NBD_FLAG_SEND_FUA
          | NbdProtocol.NBD_FLAG_SEND_TRIM
          | NbdProtocol.NBD_FLAG_SEND_WRITE_ZEROES
          | NbdProtocol.NBD_FLAG_CAN_MULTI_CONN;

  final byte[] disk;
  final List<Request> requests = new CopyOnWriteArrayList<>();
  final AtomicInteger connections = new AtomicInteger();

  private final int flags;
  private final HeaderForm headers;

  MemoryServer(int sizeBytes, int flags, boolean structured) {
    this(sizeBytes, flags, structured ? HeaderForm.STRUCTURED : HeaderForm.SIMPLE);
  }

  MemoryServer(int sizeBytes, int flags, HeaderForm headers) {
    this.disk = Bytes.pattern(0, sizeBytes);
    this.flags = flags;
    this.headers = headers;
  }

  @Override
  public void run(Wire wire) throws IOException {
    run(wire, null);
  }

  /// Serves one connection inside TLS, if that is not null.
  void run(Wire wire, @Nullable ServerTls tls) throws IOException {
    connections.incrementAndGet();
    wire.greet();
    if (tls != null) {
      wire.startTls(tls);
    }
    wire.agreeOn(headers);
    while (true) {
      Option option = wire.receiveOption();
      switch (option.number()) {
        case NbdProtocol.NBD_OPT_LIST -> {
          wire.replyToOption(
              option.number(),
              NbdProtocol.NBD_REP_SERVER,
              Bytes.of().u32(4).raw("disk".getBytes(UTF_8)).raw("a disk".getBytes(UTF_8)).array());
          wire.ack(option.number());
        }
        case NbdProtocol.NBD_OPT_GO -> {
          go(wire);
          transmit(wire);
          return;
        }
        default -> wire.refuse(option.number(), NbdProtocol.NBD_REP_ERR_UNSUP, "what?");
      }
    }
  }

  private void go(Wire wire) throws IOException {
    wire.infoExport(disk.length, flags);
    wire.replyToOption(
        NbdProtocol.NBD_OPT_GO,
        NbdProtocol.NBD_REP_INFO,
        Bytes.of().u16(NbdProtocol.NBD_INFO_NAME).raw("disk".getBytes(UTF_8)).array());
    wire.replyToOption(
        NbdProtocol.NBD_OPT_GO,
        NbdProtocol.NBD_REP_INFO,
        Bytes.of().u16(NbdProtocol.NBD_INFO_BLOCK_SIZE).u32(1).u32(4096).u32(32 << 20).array());
    wire.ack(NbdProtocol.NBD_OPT_GO);
  }

  private void transmit(Wire wire) throws IOException {
    while (true) {
      Request request = wire.receiveRequest();
      requests.add(request);
      int at = (int) request.offset();
      int end = (int) (at + request.length());
      switch (request.type()) {
        case NbdProtocol.NBD_CMD_READ -> {
          wire.dataReply(request, Arrays.copyOfRange(disk, at, end));
        }
        case NbdProtocol.NBD_CMD_DISC -> {
          return;
        }
        case NbdProtocol.NBD_CMD_WRITE -> {
          ByteBuffer.wrap(disk).put(at, request.payload());
          wire.doneReply(request);
        }
        case NbdProtocol.NBD_CMD_TRIM, NbdProtocol.NBD_CMD_WRITE_ZEROES -> {
          Arrays.fill(disk, at, end, (byte) 0);
          wire.doneReply(request);
        }
        default -> wire.doneReply(request);
      }
    }
  }

  /// The requests of one type that were seen.
  List<Request> seen(int type) {
    return requests.stream().filter(request -> request.type() == type).toList();
  }
}
