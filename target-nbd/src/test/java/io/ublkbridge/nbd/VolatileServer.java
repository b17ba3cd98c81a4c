package io.ublkbridge.nbd;

import io.ublkbridge.nbd.ScriptedServer.Request;
import io.ublkbridge.nbd.ScriptedServer.Wire;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Predicate;

/// An honest server whose cache is gone when it crashes, and the requests that it has seen since.
final class VolatileServer implements ScriptedServer.Script {
  private final int flags;
  private final byte[] cached;
  private byte[] durable;
  private final List<Request> seen = new CopyOnWriteArrayList<>();

  /// What ends a connection instead of being answered.
  private volatile Predicate<Request> dropped = _ -> false;

  /// What is answered with EIO.
  private volatile Predicate<Request> refused = _ -> false;

  VolatileServer(int sizeBytes, int flags) {
    this.flags = flags;
    this.cached = new byte[sizeBytes];
    this.durable = new byte[sizeBytes];
  }

  /// Loses what was not flushed; what follows is another server's.
  synchronized void crash() {
    System.arraycopy(durable, 0, cached, 0, cached.length);
    seen.clear();
  }

  List<Request> seen() {
    return List.copyOf(seen);
  }

  List<Integer> types() {
    return seen.stream().map(Request::type).toList();
  }

  synchronized byte[] durable(int from, int length) {
    return Arrays.copyOfRange(durable, from, from + length);
  }

  void drop(Predicate<Request> which) {
    dropped = which;
  }

  void refuse(Predicate<Request> which) {
    refused = which;
  }

  @Override
  public void run(Wire wire) throws IOException {
    wire.handshake(true, cached.length, flags);
    while (true) {
      Request request = wire.receiveRequest();
      if (request.type() == NbdProtocol.NBD_CMD_DISC || dropped.test(request)) {
        return;
      }
      seen.add(request);
      if (refused.test(request)) {
        wire.simpleReply(5, request.cookie());
      } else if (request.type() == NbdProtocol.NBD_CMD_READ) {
        wire.dataReply(request, read(request));
      } else {
        execute(request);
        wire.simpleReply(0, request.cookie());
      }
    }
  }

  private synchronized byte[] read(Request request) {
    int at = (int) request.offset();
    return Arrays.copyOfRange(cached, at, at + (int) request.length());
  }

  private synchronized void execute(Request request) {
    int at = (int) request.offset();
    switch (request.type()) {
      case NbdProtocol.NBD_CMD_WRITE -> ByteBuffer.wrap(cached).put(at, request.payload());
      case NbdProtocol.NBD_CMD_FLUSH -> durable = cached.clone();
      default -> Arrays.fill(cached, at, at + (int) request.length(), (byte) 0);
    }
  }
}
