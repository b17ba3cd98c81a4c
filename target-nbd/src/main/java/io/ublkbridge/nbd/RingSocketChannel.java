package io.ublkbridge.nbd;

import io.netty.buffer.ByteBuf;
import io.netty.channel.AbstractChannel;
import io.netty.channel.ChannelConfig;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelMetadata;
import io.netty.channel.ChannelOutboundBuffer;
import io.netty.channel.ChannelPromise;
import io.netty.channel.DefaultChannelConfig;
import io.netty.channel.EventLoop;
import io.netty.channel.IoEvent;
import io.netty.channel.IoEventLoop;
import io.netty.channel.IoRegistration;
import io.netty.channel.unix.Buffer;
import io.netty.channel.unix.Errors;
import io.netty.channel.unix.UnixChannel;
import io.netty.channel.uring.IoUringIoEvent;
import io.netty.channel.uring.IoUringIoOps;
import io.netty.handler.ssl.SslCloseCompletionEvent;
import io.netty.util.concurrent.Future;
import io.ublkbridge.kernel.Errno;
import io.ublkbridge.kernel.EventLoopTurns;
import io.ublkbridge.kernel.KernelTls;
import io.ublkbridge.kernel.Posix;
import io.ublkbridge.kernel.TurnHandle;
import java.io.IOException;
import java.net.SocketAddress;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// A connected stream socket, of whatever family, as a Netty channel that enters the kernel as
/// rarely as it can.
///
/// Netty's own channel takes two completions for what arrives (one says that there is something,
/// one brings it) and one for what was sent, and each costs a turn of the loop. This one has a
/// receive waiting in the ring, which brings the bytes when they come and whose successor leaves
/// with the loop's next wait; and it sends by `send(2)`, and through the ring only what the socket
/// does not take at once. It also hears of an end in its place behind the last byte, which Netty
/// 4.2.18 misses when both arrive together.
///
/// Needs a loop with turns ([EventLoopTurns]). Confined to it, as every channel. Owns the socket.
@SuppressWarnings("FutureReturnValueIgnored") // A failed write or close ends in exceptionCaught.
final class RingSocketChannel extends AbstractChannel {
  private static final Logger LOG = LoggerFactory.getLogger(RingSocketChannel.class);

  private static final byte IORING_OP_ASYNC_CANCEL = 14;
  private static final byte IORING_OP_CLOSE = 19;
  private static final byte IORING_OP_SEND = 26;
  private static final byte IORING_OP_RECV = 27;

  /// `ioprio` of a receive: the socket is known to be empty, so wait before trying.
  private static final short IORING_RECVSEND_POLL_FIRST = 1;

  private static final int IORING_CQE_F_SOCK_NONEMPTY = 1 << 2;
  private static final int MSG_WAITALL = 0x100;
  private static final int MSG_NOSIGNAL = 0x4000;

  private static final ChannelMetadata METADATA = new ChannelMetadata(false);

  private final int fd;
  private final ReceiveBuffer receiveBuffer;
  private final ChannelConfig config = new DefaultChannelConfig(this);
  private final Ring ring = new Ring();
  private volatile boolean open = true;
  private @Nullable Future<IoRegistration> joining;

  /// What the receive under way fills, and what it is called in the ring.
  private @Nullable ByteBuf receiving;

  private long receiveId;
  private boolean receiveDue;
  private boolean socketEmpty;

  /// Whether the kernel makes and opens TLS records.
  private boolean kernelTls;

  private boolean resetOnClose;

  /// What the ring is sending, and what that is called.
  private @Nullable ByteBuf sending;

  private long sendId;

  /// @param fd connected, does not block; closed with the channel
  /// @param receiveBuffer released with the channel
  RingSocketChannel(int fd, ReceiveBuffer receiveBuffer) {
    super(null);
    this.fd = fd;
    this.receiveBuffer = receiveBuffer;
  }

  /// Takes a connection over from a channel of Netty's that has not read from it, and closes that.
  /// On its loop.
  static RingSocketChannel takeOver(UnixChannel connected, ReceiveBuffer receiveBuffer)
      throws IOException {
    int fd = Posix.duplicate(connected.fd().intValue());
    connected.close();
    if (fd < 0) {
      throw new IOException("cannot take over the socket: " + Errno.describe(-fd));
    }
    return new RingSocketChannel(fd, receiveBuffer);
  }

  /// Joins a loop. Callable from every thread.
  ChannelFuture register(IoEventLoop loop) {
    ChannelPromise joined = newPromise();
    unsafe().register(loop, joined);
    return joined;
  }

  ReceiveBuffer receiveBuffer() {
    return receiveBuffer;
  }

  /// Whether nothing is being sent, waiting to be sent or being received.
  boolean isQuiet() {
    ChannelOutboundBuffer out = unsafe().outboundBuffer();
    return sending == null && receiving == null && out != null && out.isEmpty();
  }

  /// Leaves TLS records to the kernel from here on, in both directions: the channel carries what is
  /// inside them. While it [#isQuiet].
  ///
  /// @return whether the kernel takes them; if not, nothing has changed
  /// @throws IOException if the socket is of no use any more
  boolean startKernelTls(RecordKeys keys) throws IOException {
    kernelTls = keys.startInKernel(fd);
    return kernelTls;
  }

  /// Whether the connection is reset when the channel is closed, by whomever: then the peer drops
  /// what it has not read.
  void resetOnClose(boolean reset) {
    resetOnClose = reset;
    if (open) {
      // Where it fails the connection is gone, and with it what could be dropped.
      var _ = Posix.resetOnClose(fd, reset);
    }
  }

  @Override
  protected boolean isCompatible(EventLoop loop) {
    return loop instanceof IoEventLoop io && io.isCompatible(Ring.class);
  }

  @Override
  protected void doRegister(ChannelPromise promise) {
    Future<IoRegistration> future = ((IoEventLoop) eventLoop()).register(ring);
    joining = future;
    future.addListener(joined -> {
      if (joined.isSuccess()) {
        promise.setSuccess();
      } else {
        promise.setFailure(joined.cause());
      }
    });
  }

  private @Nullable IoRegistration registration() {
    Future<IoRegistration> future = joining;
    return future == null ? null : future.getNow();
  }

  @Override
  protected void doBeginRead() {
    if (receiving == null && !receiveDue && open) {
      receiveDue = true;
      ring.endTurn();
    }
  }

  private void receive() {
    receiveDue = false;
    if (!open || receiving != null) {
      return;
    }
    ByteBuf buffer = receiveBuffer.take(alloc());
    receiving = buffer;
    receiveId =
        submit(
            IORING_OP_RECV,
            socketEmpty ? IORING_RECVSEND_POLL_FIRST : 0,
            address(buffer) + buffer.writerIndex(),
            buffer.writableBytes(),
            0);
    if (receiveId == 0) {
      receiving = null;
      buffer.release();
    }
  }

  private void received(int result, int flags) {
    ByteBuf buffer = receiving;
    receiving = null;
    receiveId = 0;
    if (buffer == null) {
      throw new IllegalStateException("nothing was being received");
    }
    if (result <= 0 || !open) {
      buffer.release();
      if (open) {
        receivedNothing(result);
      }
      return;
    }
    socketEmpty = (flags & IORING_CQE_F_SOCK_NONEMPTY) == 0;
    buffer.writerIndex(buffer.writerIndex() + result);
    pipeline().fireChannelRead(buffer);
    pipeline().fireChannelReadComplete();
  }

  private void receivedNothing(int result) {
    if (result == -Errno.EINTR || result == -Errno.EAGAIN) {
      doBeginRead();
      return;
    }
    if (result == -Errno.EIO && kernelTls) {
      receiveControlRecord();
      return;
    }
    if (result < 0) {
      pipeline().fireExceptionCaught(new Errors.NativeIoException("recv", result));
    }
    close();
  }

  private void receiveControlRecord() {
    try {
      if (ControlRecord.goesOn(fd)) {
        doBeginRead();
        return;
      }
      pipeline().fireUserEventTriggered(SslCloseCompletionEvent.SUCCESS);
    } catch (IOException e) {
      pipeline().fireExceptionCaught(e);
    }
    close();
  }

  @Override
  protected Object filterOutboundMessage(Object message) {
    if (!(message instanceof ByteBuf bytes)) {
      throw new UnsupportedOperationException("a socket sends bytes, not " + message.getClass());
    }
    if (bytes.hasMemoryAddress() || (bytes.isDirect() && bytes.nioBufferCount() == 1)) {
      return bytes;
    }
    ByteBuf direct = alloc().directBuffer(bytes.readableBytes());
    direct.writeBytes(bytes);
    bytes.release();
    return direct;
  }

  @Override
  protected void doWrite(ChannelOutboundBuffer out) throws IOException {
    while (sending == null && out.current() instanceof ByteBuf bytes) {
      int length = bytes.readableBytes();
      long sent = length == 0 ? 0 : send(address(bytes) + bytes.readerIndex(), length);
      if (sent == length) {
        out.remove();
      } else if (sent >= 0 || sent == -Errno.EAGAIN) {
        out.removeBytes(Math.max(0, sent));
        sendByRing(bytes);
      } else if (sent != -Errno.EINTR) {
        throw new Errors.NativeIoException("send", (int) sent);
      }
    }
  }

  private long send(long address, int length) {
    return kernelTls ? KernelTls.send(fd, address, length) : Posix.send(fd, address, length, false);
  }

  /// The socket is full: the ring sends all of it as there is room, and says so once.
  private void sendByRing(ByteBuf bytes) {
    sendId =
        submit(
            IORING_OP_SEND,
            (short) 0,
            address(bytes) + bytes.readerIndex(),
            bytes.readableBytes(),
            MSG_NOSIGNAL | MSG_WAITALL);
    if (sendId != 0) {
      sending = bytes.retain();
    }
  }

  private void sent(int result) {
    ByteBuf bytes = sending;
    sending = null;
    sendId = 0;
    if (bytes == null) {
      throw new IllegalStateException("nothing was being sent");
    }
    bytes.release();
    ChannelOutboundBuffer out = unsafe().outboundBuffer();
    if (out == null || !open) {
      return;
    }
    if (result >= 0) {
      out.removeBytes(result);
    } else if (result != -Errno.EINTR && result != -Errno.EAGAIN) {
      pipeline().fireExceptionCaught(new Errors.NativeIoException("send", result));
      close();
      return;
    }
    unsafe().flush();
  }

  @Override
  protected void doClose() {
    if (!open) {
      return;
    }
    open = false;
    if (kernelTls && !resetOnClose) {
      // A full socket would not take it; then the end of the stream has to do.
      var _ = KernelTls.sendCloseNotify(fd);
    }
    // They would keep the connection open.
    cancel(receiveId);
    cancel(sendId);
    // By the ring, behind them: a receive that has not left yet must not find its number given to
    // another socket.
    if (submit(IORING_OP_CLOSE, (short) 0, 0, 0, 0) == 0) {
      Posix.close(fd);
    }
    if (registration() == null) {
      receiveBuffer.release();
    }
  }

  private void cancel(long id) {
    if (id != 0) {
      submit(IORING_OP_ASYNC_CANCEL, (short) 0, id, 0, 0);
    }
  }

  @Override
  protected void doDeregister() {
    IoRegistration current = registration();
    if (current != null) {
      current.cancel();
    }
  }

  /// @return what it is called in the ring; 0 if the ring takes nothing any more
  private long submit(byte opcode, short priority, long address, int lengthBytes, int flags) {
    IoRegistration current = registration();
    if (current == null || !current.isValid()) {
      return 0;
    }
    int target = opcode == IORING_OP_ASYNC_CANCEL ? -1 : fd;
    return current.submit(
        new IoUringIoOps(
            opcode,
            (byte) 0,
            priority,
            target,
            0L,
            address,
            lengthBytes,
            flags,
            0L,
            (short) 0,
            (short) 0,
            0,
            0L));
  }

  private static long address(ByteBuf bytes) {
    return bytes.hasMemoryAddress()
        ? bytes.memoryAddress()
        : Buffer.memoryAddress(bytes.internalNioBuffer(0, bytes.capacity()));
  }

  @Override
  public ChannelConfig config() {
    return config;
  }

  @Override
  public boolean isOpen() {
    return open;
  }

  @Override
  public boolean isActive() {
    return open;
  }

  @Override
  public ChannelMetadata metadata() {
    return METADATA;
  }

  @Override
  protected AbstractUnsafe newUnsafe() {
    return new ConnectedUnsafe();
  }

  @Override
  @SuppressWarnings("NullAway") // Netty's word for an address that nobody knows.
  protected SocketAddress localAddress0() {
    return null;
  }

  @Override
  @SuppressWarnings("NullAway") // Netty's word for an address that nobody knows.
  protected SocketAddress remoteAddress0() {
    return null;
  }

  @Override
  protected void doBind(SocketAddress address) {
    throw new UnsupportedOperationException("it is connected");
  }

  @Override
  protected void doDisconnect() {
    doClose();
  }

  private final class ConnectedUnsafe extends AbstractUnsafe {
    @Override
    public void connect(SocketAddress remote, SocketAddress local, ChannelPromise promise) {
      promise.setFailure(new UnsupportedOperationException("it is connected"));
    }
  }

  /// The channel's part of the ring.
  private final class Ring implements TurnHandle {
    private @Nullable EventLoopTurns turns;
    private boolean ending;

    void endTurn() {
      EventLoopTurns loopTurns = turns;
      if (loopTurns == null) {
        throw new IllegalStateException("the socket is on a loop without turns");
      }
      if (!ending) {
        ending = true;
        loopTurns.endWith(this);
      }
    }

    @Override
    public void joined(EventLoopTurns loopTurns) {
      turns = loopTurns;
    }

    @Override
    public void turnEnded() {
      ending = false;
      receive();
    }

    @Override
    public void handle(IoRegistration source, IoEvent event) {
      IoUringIoEvent completion = (IoUringIoEvent) event;
      // Netty reuses the event: take everything out first.
      byte opcode = completion.opcode();
      int result = completion.res();
      int flags = completion.flags();
      try {
        if (opcode == IORING_OP_RECV) {
          received(result, flags);
        } else if (opcode == IORING_OP_SEND) {
          sent(result);
        }
      } catch (RuntimeException | Error e) {
        // Netty would put the loop to sleep.
        LOG.error("{}: cannot go on", RingSocketChannel.this, e);
        RingSocketChannel.this.close();
      }
    }

    @Override
    public void unregistered() {
      receiveBuffer.release();
    }

    /// Called by a loop that shuts down.
    @Override
    public void close() {
      RingSocketChannel.this.close();
    }
  }
}
