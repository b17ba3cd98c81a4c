package io.ublkbridge.nbd;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.UnpooledByteBufAllocator;
import io.netty.channel.embedded.EmbeddedChannel;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;
import java.util.random.RandomGenerator;

/// A server whose disk remembers one number per block, with a volatile cache in front of it. It
/// executes what it has received in any order and at any time, also late, and can be killed, hang,
/// or close a single connection.
///
/// Stands on the client's real encoder and decoder: what is simulated begins at the bytes.
final class SimulatedServer {
  static final int BLOCK = 512;
  static final int BLOCKS = 20;
  static final int FLAGS = MemoryServer.ALL_FLAGS & ~NbdProtocol.NBD_FLAG_SEND_TRIM;

  @SuppressWarnings("ArrayRecordComponent")
  private record Command(int flags, int type, long cookie, int block, int count, long[] stamps) {}

  private final RandomGenerator random;
  private final SimulatedLoops loops;
  private final long zombieNanos;
  private final long[] cached = new long[BLOCKS];
  final long[] durable = new long[BLOCKS];
  private final boolean[] dirty = new boolean[BLOCKS];
  private final List<Wire> wires = new ArrayList<>();
  private boolean up = true;
  private boolean stalled;
  int lateExecutions;

  /// @param zombieNanos how long after a new connection the requests of an old one may still be
  ///   executed
  SimulatedServer(RandomGenerator random, SimulatedLoops loops, long zombieNanos) {
    this.random = random;
    this.loops = loops;
    this.zombieNanos = zombieNanos;
  }

  static Negotiated negotiated() {
    ExportInfo info =
        new ExportInfo(
            (long) BLOCKS * BLOCK,
            FLAGS,
            new ExportInfo.BlockSizes(1, 4096, 32 << 20),
            HeaderForm.STRUCTURED);
    return new Negotiated(info, "disk", "", List.of(), OptionalInt.empty());
  }

  /// What a read would find.
  long current(int block) {
    return cached[block];
  }

  boolean answers() {
    return up && !stalled;
  }

  boolean isUp() {
    return up;
  }

  void stall(boolean now) {
    stalled = now;
  }

  /// One connection, seen from the server.
  @SuppressWarnings("FutureReturnValueIgnored") // Embedded channels close at once.
  private final class Wire {
    final SimulatedLoops.Loop loop;
    final EmbeddedChannel channel = new EmbeddedChannel();
    final ReceiveBuffer receiveBuffer = new ReceiveBuffer();
    final NbdConnection connection;
    final List<Command> received = new ArrayList<>();
    final List<byte[]> replies = new ArrayList<>();
    byte[] unparsed = new byte[0];
    boolean over;

    /// Whether the client's process was killed.
    boolean orphaned;

    long lateUntil = Long.MAX_VALUE;

    Wire(SimulatedLoops.Loop loop) {
      this.loop = loop;
      this.connection = new NbdConnection(channel, "simulated", negotiated(), receiveBuffer);
      channel.config().setAllocator(UnpooledByteBufAllocator.DEFAULT);
      channel.pipeline().addLast(connection);
    }

    /// Takes what the client has sent.
    void receive() {
      ByteBuf sent = channel.readOutbound();
      while (sent != null) {
        byte[] bytes = Arrays.copyOf(unparsed, unparsed.length + sent.readableBytes());
        sent.readBytes(bytes, unparsed.length, sent.readableBytes());
        sent.release();
        unparsed = bytes;
        sent = channel.readOutbound();
      }
      ByteBuffer in = ByteBuffer.wrap(unparsed);
      while (in.remaining() >= NbdProtocol.REQUEST_BYTES) {
        in.mark();
        if (in.getInt() != NbdProtocol.NBD_REQUEST_MAGIC) {
          throw new AssertionError("a request without its magic number");
        }
        int flags = in.getShort();
        int type = in.getShort();
        long cookie = in.getLong();
        int block = (int) (in.getLong() / BLOCK);
        int bytes = in.getInt();
        int payload = type == NbdProtocol.NBD_CMD_WRITE ? bytes : 0;
        if (in.remaining() < payload) {
          in.reset();
          break;
        }
        long[] stamps = new long[bytes / BLOCK];
        for (int i = 0; i < stamps.length && payload > 0; i++) {
          stamps[i] = in.getLong(in.position() + i * BLOCK);
        }
        in.position(in.position() + payload);
        received.add(new Command(flags, type, cookie, block, stamps.length, stamps));
      }
      unparsed = Arrays.copyOfRange(unparsed, in.position(), unparsed.length);
    }

    /// Runs on the client's loop.
    void deliver(byte[] bytes) {
      int at = 0;
      while (at < bytes.length && channel.isOpen()) {
        int piece = Math.min(bytes.length - at, 1 + random.nextInt(bytes.length));
        ByteBuf buffer = receiveBuffer.take(UnpooledByteBufAllocator.DEFAULT);
        buffer.writeBytes(bytes, at, piece);
        channel.writeInbound(buffer);
        at += piece;
      }
      channel.runPendingTasks();
    }

    /// The server's end of the connection is gone.
    void end() {
      over = true;
      received.clear();
      replies.clear();
      loop.execute(() -> {
        channel.close();
        channel.runPendingTasks();
      });
    }

    /// Lets go of what was never received, once the client's end is closed too.
    boolean forget() {
      boolean ended = orphaned || !channel.isOpen();
      if (ended) {
        channel.releaseOutbound();
        receiveBuffer.release();
      }
      return ended;
    }

    boolean mayExecute() {
      return !received.isEmpty() && (!over || loops.now() < lateUntil);
    }
  }

  /// A new connection for a client's loop.
  NbdConnection accept(SimulatedLoops.Loop loop) {
    for (Wire old : wires) {
      noticeEnd(old);
      if (old.over && old.lateUntil == Long.MAX_VALUE) {
        old.lateUntil = loops.now() + zombieNanos;
      }
    }
    Wire wire = new Wire(loop);
    wires.add(wire);
    return wire.connection;
  }

  /// A client that resets its connection leaves requests behind that were received already.
  private static void noticeEnd(Wire wire) {
    if (!wire.over && !wire.channel.isOpen()) {
      wire.over = true;
      wire.replies.clear();
    }
  }

  /// Does one thing that a server does.
  void step() {
    wires.forEach(SimulatedServer::noticeEnd);
    wires.removeIf(wire -> wire.over && !wire.mayExecute() && wire.forget());
    if (!answers() || wires.isEmpty()) {
      return;
    }
    Wire wire = wires.get(random.nextInt(wires.size()));
    if (!wire.over && random.nextInt(3) == 0) {
      wire.receive();
    } else if (wire.mayExecute() && random.nextInt(wire.over ? 30 : 2) == 0) {
      execute(wire, wire.received.remove(random.nextInt(wire.received.size())));
    } else if (!wire.replies.isEmpty()) {
      byte[] reply = wire.replies.remove(random.nextInt(wire.replies.size()));
      wire.loop.execute(() -> wire.deliver(reply));
    }
  }

  private void execute(Wire wire, Command command) {
    if (wire.over) {
      lateExecutions++;
    }
    switch (command.type()) {
      case NbdProtocol.NBD_CMD_READ -> wire.replies.add(dataReply(command));
      case NbdProtocol.NBD_CMD_FLUSH -> {
        for (int block = 0; block < BLOCKS; block++) {
          harden(block);
        }
        wire.replies.add(ok(command));
      }
      case NbdProtocol.NBD_CMD_WRITE, NbdProtocol.NBD_CMD_WRITE_ZEROES -> {
        for (int i = 0; i < command.count(); i++) {
          int block = command.block() + i;
          cached[block] = command.stamps()[i];
          dirty[block] = true;
          if ((command.flags() & NbdProtocol.NBD_CMD_FLAG_FUA) != 0) {
            harden(block);
          }
        }
        wire.replies.add(ok(command));
      }
      default -> throw new AssertionError("command " + command.type());
    }
  }

  private void harden(int block) {
    durable[block] = cached[block];
    dirty[block] = false;
  }

  private static byte[] ok(Command command) {
    return Bytes.of().simpleReply(0, command.cookie()).array();
  }

  private byte[] dataReply(Command command) {
    Bytes data = Bytes.of().u64((long) command.block() * BLOCK);
    for (int i = 0; i < command.count(); i++) {
      data.raw(content(cached[command.block() + i]));
    }
    return Bytes.of().chunk(1, 1, command.cookie(), data.array()).array();
  }

  /// A block that carries a stamp.
  static byte[] content(long stamp) {
    return ByteBuffer.allocate(BLOCK).putLong(stamp).array();
  }

  /// Ends the server as a power cut does: of what was not flushed, any part may be lost.
  void kill() {
    up = false;
    stalled = false;
    wires.forEach(Wire::end);
    for (int block = 0; block < BLOCKS; block++) {
      if (dirty[block] && random.nextInt(4) == 0) {
        harden(block);
      }
      cached[block] = durable[block];
      dirty[block] = false;
    }
  }

  /// The client's process was killed. What it had sent may have arrived, and may be done late.
  void clientDied() {
    for (Wire wire : wires) {
      if (!wire.over && random.nextBoolean()) {
        wire.receive();
      }
      wire.over = true;
      wire.orphaned = true;
      wire.replies.clear();
    }
  }

  void restart() {
    up = true;
  }

  /// Closes one connection; what it had received and not done is not done.
  void closeOne() {
    if (!wires.isEmpty()) {
      wires.get(random.nextInt(wires.size())).end();
    }
  }

  /// Says that it shuts down instead of doing what it has received.
  void refuseWithShutdown() {
    for (Wire wire : wires) {
      for (Command command : wire.received) {
        byte[] reply = Bytes.of().simpleReply(NbdProtocol.NBD_ESHUTDOWN, command.cookie()).array();
        wire.loop.execute(() -> wire.deliver(reply));
      }
      wire.received.clear();
    }
  }

  /// Frees what connections hold; nothing happens on them any more.
  @SuppressWarnings("FutureReturnValueIgnored") // Embedded channels close at once.
  void close() {
    for (Wire wire : wires) {
      wire.channel.close();
      wire.channel.runPendingTasks();
      wire.forget();
    }
  }
}
