package io.ublkbridge.nbd;

import io.netty.channel.Channel;
import io.netty.channel.IoEvent;
import io.netty.channel.IoEventLoop;
import io.netty.channel.IoRegistration;
import io.netty.channel.unix.UnixChannel;
import io.netty.channel.uring.IoUringIoEvent;
import io.netty.channel.uring.IoUringIoHandle;
import io.netty.channel.uring.IoUringIoOps;
import io.netty.util.concurrent.Future;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Closes a channel whose peer has gone, once everything that the peer had sent was received.
///
/// Netty 4.2.18 does so too, except when the last data and a reset arrive together: it then takes
/// the drained socket for an idle one and never looks at it again, and requests would wait for
/// their deadline. So this polls the socket for the end on its own. When it comes, and two turns of
/// the loop pass without a receive, there is nothing left to wait for.
///
/// Confined to the channel's event loop.
@SuppressWarnings("FutureReturnValueIgnored") // The close has its listeners already.
final class HangupWatch implements IoUringIoHandle {
  private static final Logger LOG = LoggerFactory.getLogger(HangupWatch.class);

  private static final byte IORING_OP_NOP = 0;
  private static final byte IORING_OP_POLL_ADD = 6;
  private static final byte IORING_OP_ASYNC_CANCEL = 14;

  /// Errors and a full hang-up are reported without being asked for.
  private static final int POLLRDHUP = 0x2000;

  private static final int QUIET_TURNS = 2;

  private final Channel channel;
  private final ReceiveBuffer receiveBuffer;
  private final Future<IoRegistration> registering;

  /// What the poll under way is called in the ring, or 0.
  private long pollId;

  private int receives;
  private int quietTurns;

  private HangupWatch(Channel channel, IoEventLoop loop, ReceiveBuffer receiveBuffer) {
    this.channel = channel;
    this.receiveBuffer = receiveBuffer;
    this.registering = loop.register(this);
  }

  /// Watches a channel, if it is a socket, until it is closed. To be called on its loop, once it is
  /// connected.
  static void start(Channel channel, ReceiveBuffer receiveBuffer) {
    if (channel instanceof UnixChannel socket && channel.eventLoop() instanceof IoEventLoop loop) {
      HangupWatch watch = new HangupWatch(channel, loop, receiveBuffer);
      watch.registering.addListener(_ -> watch.poll(socket.fd().intValue()));
      channel.closeFuture().addListener(_ -> watch.close());
    }
  }

  private void poll(int fd) {
    if (registering.isSuccess() && channel.isOpen()) {
      pollId = submit(IORING_OP_POLL_ADD, fd, 0, POLLRDHUP);
    }
  }

  private long submit(byte opcode, int fd, long address, int flags) {
    IoUringIoOps operation =
        new IoUringIoOps(
            opcode, (byte) 0, (short) 0, fd, 0L, address, 0, flags, 0L, (short) 0, (short) 0, 0,
            0L);
    return registering.getNow().submit(operation);
  }

  @Override
  public void handle(IoRegistration registration, IoEvent event) {
    try {
      byte opcode = ((IoUringIoEvent) event).opcode();
      if (opcode == IORING_OP_POLL_ADD) {
        pollId = 0;
        awaitSilence();
      } else if (opcode == IORING_OP_NOP) {
        awaitSilence();
      }
    } catch (RuntimeException e) {
      // Netty would put the loop to sleep.
      LOG.error("cannot watch the connection {}", channel, e);
    }
  }

  private void awaitSilence() {
    if (!channel.isOpen()) {
      return;
    }
    quietTurns = receives == receiveBuffer.receives() ? quietTurns + 1 : 0;
    receives = receiveBuffer.receives();
    if (quietTurns <= QUIET_TURNS) {
      submit(IORING_OP_NOP, -1, 0, 0);
    } else {
      channel.close();
    }
  }

  /// Lets go of the socket, which the poll would keep open.
  @Override
  public void close() {
    if (registering.isSuccess()) {
      if (pollId != 0) {
        submit(IORING_OP_ASYNC_CANCEL, -1, pollId, 0);
        pollId = 0;
      }
      registering.getNow().cancel();
    }
  }
}
